import { expect, test } from "bun:test";
import fc from "fast-check";
import { ProtocolError } from "../../src/errors.ts";
import { formats, fourcc } from "../../src/format/formats.ts";
import { pictureBytes } from "../../src/format/picture-layout.ts";
import { frameHeader } from "../../src/stream/copy/messages.ts";
import { checkFrame, checkHello, FRAME_MAGIC, hello, makeHello } from "../../src/stream/hello.ts";

const MAX = 67_108_864;
const good = { width: 640, height: 480, pixelformat: fourcc("YUYV"), sizeimage: 614_400 };

test("the hello of a 640x480 YUYV stream is these 28 bytes", () => {
  expect(Buffer.from(makeHello(good, 4).$bytes).toString("hex")).toBe(
    "56344c420000000200000280000001e0565955590009600000000004",
  );
});

test("a frame header is these 40 bytes", () => {
  const header = frameHeader.alloc();
  Object.assign(header, { magic: FRAME_MAGIC, index: 3, bytesused: 614_400, flags: 0x2001 });
  Object.assign(header, { sequence: 2 ** 32 + 5, ts_sec: 7, ts_usec: 999_999 });
  expect(Buffer.from(header.$bytes).toString("hex")).toBe(
    "5652464d000000030009600000002001000000010000000500000000000000070000000000" + "0f423f",
  );
});

test("a hello that we make is accepted, for every format", () => {
  for (const { name } of formats) {
    const pixelformat = fourcc(name);
    const format = formats.find((row) => row.name === name);
    const sizeimage = format ? pictureBytes(format, 641, 479) : 0;
    const info = checkHello(
      makeHello({ width: 641, height: 479, pixelformat, sizeimage }, 64),
      MAX,
    );
    expect(info).toEqual({ width: 641, height: 479, pixelformat, sizeimage, bufferCount: 64 });
  }
});

const wrong: [string, Record<string, number>, string][] = [
  [
    "another magic",
    { magic: 0x12345678 },
    "hello: magic is 0x12345678, must be 0x56344c42; what connected is no sender",
  ],
  ["another version", { version: 3 }, "hello: version is 3, must be 2 to 2"],
  ["no width", { width: 0 }, "hello: width is 0, must be 1 to 16384"],
  ["a width out of range", { width: 16_385 }, "hello: width is 16385, must be 1 to 16384"],
  [
    "a height out of range",
    { height: 0xffff_ffff },
    "hello: height is 4294967295, must be 1 to 16384",
  ],
  [
    "a size too small for the format",
    { sizeimage: 614_399 },
    "hello: sizeimage is 614399, must be 614400 to 67108864",
  ],
  [
    "a size over --max-frame",
    { sizeimage: MAX + 1 },
    "hello: sizeimage is 67108865, must be 614400 to 67108864",
  ],
  ["no buffers", { buffer_count: 0 }, "hello: buffer_count is 0, must be 1 to 64"],
  ["too many buffers", { buffer_count: 65 }, "hello: buffer_count is 65, must be 1 to 64"],
  [
    "no size for a compressed format",
    { pixelformat: fourcc("MJPG"), sizeimage: 0 },
    "hello: sizeimage is 0, must be 1",
  ],
  [
    "a picture that needs more than --max-frame",
    { width: 16_384, height: 16_384, sizeimage: MAX / 2 },
    "hello: sizeimage is 536870912, must be 1 to 67108864",
  ],
];

test.each(wrong)("a hello with %s is refused, naming field, value and limit", (_, fields, text) => {
  const message = Object.assign(makeHello(good, 4), fields);
  expect(() => checkHello(message, MAX)).toThrow(ProtocolError);
  expect(() => checkHello(message, MAX)).toThrow(text);
});

test("a driver may round sizeimage up, and a compressed format may have any size", () => {
  expect(checkHello(makeHello({ ...good, sizeimage: 618_496 }, 4), MAX).sizeimage).toBe(618_496);
  expect(
    checkHello(makeHello({ ...good, pixelformat: fourcc("MJPG"), sizeimage: 1 }, 4), MAX).sizeimage,
  ).toBe(1);
});

const word = fc.oneof(
  fc.integer({ min: 0, max: 0xffff_ffff }),
  fc.constantFrom(0, 1, 2, 4, 64, 65, 640, 480, 16384, 16385, 614400),
);

test("20,000 random hellos are refused with a ProtocolError or are within every limit", () => {
  let accepted = 0;
  const some = fc.record({
    magic: fc.oneof(
      { weight: 9, arbitrary: fc.constant(0x56344c42) },
      { weight: 1, arbitrary: word },
    ),
    version: fc.oneof({ weight: 9, arbitrary: fc.constant(2) }, { weight: 1, arbitrary: word }),
    width: fc.oneof(word, fc.integer({ min: 0, max: 16_400 })),
    height: fc.oneof(word, fc.integer({ min: 0, max: 16_400 })),
    pixelformat: fc.oneof(word, fc.constantFrom(...formats.map(({ name }) => fourcc(name)))),
    sizeimage: fc.oneof(word, fc.integer({ min: 0, max: MAX + 10 })),
    buffer_count: fc.oneof(word, fc.integer({ min: 0, max: 70 })),
  });
  fc.assert(
    fc.property(some, (fields) => {
      const message = Object.assign(hello.alloc(), fields);
      try {
        const info = checkHello(message, MAX);
        accepted += 1;
        const format = formats.find(({ name }) => fourcc(name) === info.pixelformat);
        const least = format === undefined ? 1 : pictureBytes(format, info.width, info.height);
        const inside =
          info.width >= 1 &&
          info.width <= 16_384 &&
          info.height >= 1 &&
          info.height <= 16_384 &&
          info.sizeimage >= least &&
          info.sizeimage <= MAX &&
          info.bufferCount >= 1 &&
          info.bufferCount <= 64;
        if (!inside) throw new Error(`accepted ${JSON.stringify(info)}`);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
      }
    }),
    { numRuns: 20_000 },
  );
  expect(accepted).toBeGreaterThan(200);
});

test("20,000 random frame headers are refused with a ProtocolError or fit their buffer", () => {
  let accepted = 0;
  const bytes = fc.uint8Array({ minLength: 40, maxLength: 40 });
  const case_ = fc.tuple(bytes, fc.boolean(), word, fc.integer({ min: 1, max: MAX }));
  fc.assert(
    fc.property(case_, ([random, marked, used, sizeimage]) => {
      const header = frameHeader.over(new Uint8Array(random));
      if (marked) Object.assign(header, { magic: FRAME_MAGIC, bytesused: used });
      try {
        checkFrame(header, sizeimage);
        accepted += 1;
        if (header.magic !== FRAME_MAGIC || header.bytesused > sizeimage)
          throw new Error("accepted");
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
      }
    }),
    { numRuns: 20_000 },
  );
  expect(accepted).toBeGreaterThan(1000);
});
