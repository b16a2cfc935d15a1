import { expect, test } from "bun:test";
import fc from "fast-check";
import { EPOLLIN } from "../../ffi/epoll.ts";
import { barColours, openTestSource, patternNames } from "../../src/capture/testsrc.ts";
import { UsageError } from "../../src/errors.ts";
import { Canvas } from "../../src/format/canvas.ts";
import { defaultMatrix, type Rgb, toRgb, toYuv } from "../../src/format/colour.ts";
import { formats, fourcc } from "../../src/format/formats.ts";
import { pictureBytes } from "../../src/format/picture-layout.ts";
import { StampChecker, StampedBuffer } from "../../src/format/stamp.ts";
import type { Source } from "../../src/frame/source.ts";
import { Loop } from "../../src/loop.ts";
import { described } from "../support/camera-options.ts";
import { leftBehind, nothing } from "../support/resources.ts";

const painted = formats.filter(({ sentAs }) => sentAs === undefined);
const wish = { width: 64, height: 48, format: "YUYV", buffers: 3, fps: 0 };

/** The next frame of a source that always has one. */
function take(source: Source) {
  const frame = source.next();
  if (frame === undefined) throw new Error("no frame");
  return frame;
}

const kinds = painted.flatMap((format) => patternNames.map((pattern) => ({ format, pattern })));

test.each(kinds)(
  "$format.name $pattern: every picture carries its own stamp, at any size",
  async (row) => {
    const { format, pattern } = row;
    const sizes = [
      [64, 48],
      [65, 47],
      [1, 200],
      [200, 1],
      [7, 9],
      [1280, 722],
    ] as const;
    const left = await leftBehind("memfd", () => {
      for (const [width, height] of sizes) {
        using source = openTestSource(`testsrc:${pattern}`, {
          ...wish,
          width,
          height,
          format: format.name,
        });
        const bytes = pictureBytes(format, width, height);
        expect(described(source.picture)).toBe(`${width}x${height} ${format.name} ${bytes}`);
        const stamps = source.buffers.map(({ mapping }) => new StampedBuffer(mapping.bytes));
        const checker = new StampChecker();
        source.start();
        for (let n = 0; n < 7; n++) {
          using frame = take(source);
          expect(frame.sequence).toBe(n);
          expect(frame.bytesused).toBe(bytes);
          const stamp = stamps[frame.index];
          if (stamp === undefined) throw new Error("no buffer");
          expect(checker.check(stamp, frame.bytesused, n)).toBeUndefined();
        }
        expect(checker.verified).toBe(7);
      }
    });
    expect(left).toEqual(nothing);
  },
);

test.each(painted)("$name: the bars have the colours of SMPTE EG 1, the square moves", (format) => {
  const [width, height] = [350, 240];
  using source = openTestSource("testsrc", {
    ...wish,
    width,
    height,
    format: format.name,
    buffers: 1,
  });
  const canvas = new Canvas(
    source.buffers[0]?.mapping.bytes ?? new Uint8Array(),
    format,
    width,
    height,
  );
  const isWhite = ([r, g, b]: Rgb) => r > 250 && g > 250 && b > 250;
  const whereIsTheSquare = () =>
    Array.from({ length: width }, (_, x) => x).filter((x) => isWhite(canvas.colourAt(x, 190)));
  source.start();
  take(source)[Symbol.dispose]();
  for (const [i, colour] of barColours.entries()) {
    const grey = toYuv(colour, defaultMatrix)[0];
    const expected: Rgb = format.model === "grey" ? toRgb(grey, 128, 128, defaultMatrix) : colour;
    for (const x of [i * 50 + 4, i * 50 + 25, i * 50 + 45]) {
      for (const y of [5, 80, 155]) {
        for (const [c, value] of canvas.colourAt(x, y).entries()) {
          expect(Math.abs(value - (expected[c] ?? 0)), `${x},${y}`).toBeLessThanOrEqual(3);
        }
      }
    }
  }
  const first = whereIsTheSquare();
  expect(first).toEqual(Array.from({ length: 30 }, (_, x) => x));
  for (let n = 0; n < 10; n++) take(source)[Symbol.dispose]();
  const later = whereIsTheSquare();
  expect(later.length).toBe(30); // the old square is gone
  expect(later[0]).toBe(20);
});

test.each(painted)(
  "$name: only the square and the stamp differ, also where the square has been before",
  (format) => {
    const [width, height] = [67, 49];
    const [track, side, places, speed] = [12, 6, 62, 2];
    const top = height - track;
    using source = openTestSource("testsrc", { ...wish, width, height, format: format.name });
    source.start();
    take(source)[Symbol.dispose]();
    const [background] = source.buffers.map(({ mapping }) => mapping.bytes.slice());
    if (background === undefined) throw new Error("no buffer");
    const expected = new Canvas(background, format, width, height);
    const checker = new StampChecker();
    const stamps = source.buffers.map(({ mapping }) => new StampedBuffer(mapping.bytes));
    for (let n = 1; n < 2 * places + 5; n++) {
      using frame = take(source);
      expected.fill(0, top, width, track, expected.encode([0, 0, 0]));
      expected.fill((n * speed) % places, top, side, side, expected.encode([255, 255, 255]));
      const bytes = source.buffers[frame.index]?.mapping.bytes.subarray(0, frame.bytesused);
      expect(
        Buffer.compare(bytes?.subarray(32) ?? background, background.subarray(32)),
        `${n}`,
      ).toBe(0);
      const stamp = stamps[frame.index];
      if (stamp === undefined) throw new Error("no buffer");
      expect(checker.check(stamp, frame.bytesused, n)).toBeUndefined();
    }
  },
);

test("the gradient grows from left to right and from top to bottom", () => {
  using source = openTestSource("testsrc:gradient", {
    ...wish,
    format: "RGB3",
    width: 256,
    height: 256,
    buffers: 1,
  });
  const [buffer] = source.buffers;
  const format = formats.find(({ name }) => name === "RGB3");
  if (buffer === undefined || format === undefined) throw new Error("no buffer");
  source.start();
  take(source)[Symbol.dispose]();
  const canvas = new Canvas(buffer.mapping.bytes, format, 256, 256);
  expect(canvas.colourAt(0, 100)[0]).toBe(0);
  expect(canvas.colourAt(255, 100)[0]).toBe(253);
  expect(canvas.colourAt(20, 190)[1]).toBeGreaterThan(245);
  expect(canvas.colourAt(20, 2)).toEqual([19, 2, 236]);
});

test("a changed byte anywhere in a picture is detected", () => {
  using source = openTestSource("testsrc", { ...wish, format: "NV12", buffers: 1 });
  const [buffer] = source.buffers;
  if (buffer === undefined) throw new Error("no buffer");
  const { bytes } = buffer.mapping;
  const stamp = new StampedBuffer(bytes);
  source.start();
  using frame = take(source);
  expect(stamp.read(frame.bytesused)).toBe(0);
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: bytes.length - 1 }),
      fc.integer({ min: 1, max: 255 }),
      (i, x) => {
        bytes[i] = (bytes[i] ?? 0) ^ x;
        expect(stamp.read(frame.bytesused)).toBe(i < 4 ? "not stamped" : "torn");
        bytes[i] = (bytes[i] ?? 0) ^ x;
      },
    ),
    { numRuns: 3000 },
  );
});

test.each(["testsrc:", "testsrc:nothing", "testsrc:bars:bars", "testsrc:constructor"])(
  "%s is an unknown pattern",
  (device) => {
    expect(() => openTestSource(device, wish)).toThrow(UsageError);
    expect(() => openTestSource(device, wish)).toThrow(/has the patterns bars, gradient/);
  },
);

test.each(["MJPG", "NM12", "YM12", "H264"])(
  "%s is a format that testsrc cannot paint",
  (format) => {
    expect(() => openTestSource("testsrc", { ...wish, format })).toThrow(
      /^testsrc makes YUYV, UYVY/,
    );
  },
);

test("a picture without room for a stamp is refused", () => {
  const grey = { ...wish, format: "GREY", height: 1 };
  expect(() => openTestSource("testsrc", { ...grey, width: 32 })).toThrow(UsageError);
  openTestSource("testsrc", { ...grey, width: 33 })[Symbol.dispose]();
});

test("--fps 0: there is a frame whenever a buffer is free, and the descriptor is always readable", async () => {
  using loop = new Loop();
  using source = openTestSource("testsrc", wish);
  expect(source.fps).toBeUndefined();
  source.start();
  const held = [take(source), take(source), take(source)];
  expect(source.next()).toBeUndefined();
  held[1]?.[Symbol.dispose]();
  using frame = take(source);
  expect(frame).toBe(held[1] as typeof frame);
  expect(held.map(({ sequence }) => sequence)).toEqual([0, 3, 2]);
  expect(source.drops).toBe(0);
  let turns = 0;
  const { promise, resolve } = loop.promise<void>();
  using _watch = loop.watch(source.fd, EPOLLIN, () => {
    if (++turns === 3) resolve();
  });
  await loop.run(promise);
  for (const one of held) one[Symbol.dispose]();
});

test("frames come at the rate that was asked for, stamped with the time", async () => {
  using loop = new Loop();
  using source = openTestSource("testsrc", { ...wish, fps: 200 });
  const times: number[] = [];
  const { promise, resolve } = loop.promise<void>();
  using _watch = loop.watch(source.fd, EPOLLIN, () => {
    for (let frame = source.next(); frame !== undefined; frame = source.next()) {
      times.push(frame.tsSec * 1e6 + frame.tsUsec);
      frame[Symbol.dispose]();
    }
    if (times.length >= 40) resolve();
  });
  const startMs = performance.now();
  source.start();
  await loop.run(promise);
  const took = performance.now() - startMs;
  expect(took).toBeGreaterThan(150); // 40 frames are 195 ms, or up to three fewer where some came at once
  expect(took).toBeLessThan(2000);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
});

test("a late consumer loses frames, and the sequence numbers show the gap", () => {
  using source = openTestSource("testsrc", { ...wish, fps: 1000 });
  source.start();
  using first = take(source);
  expect(first.sequence).toBe(0);
  Bun.sleepSync(60); // about 60 frames for 3 buffers
  const frames = [];
  for (let frame = source.next(); frame !== undefined; frame = source.next()) {
    frames.push(frame);
    expect(frame.sequence).toBe(source.drops + frames.length);
  }
  expect(frames.length).toBe(2); // the third buffer is lent
  expect(frames[0]?.sequence).toBeGreaterThan(30);
  for (const frame of frames) frame[Symbol.dispose]();
});

test("stop means no more frames; start begins at 0 again", () => {
  using source = openTestSource("testsrc", wish);
  expect(source.next()).toBeUndefined();
  source.start();
  take(source)[Symbol.dispose]();
  using held = take(source);
  source.stop();
  expect(source.next()).toBeUndefined();
  source.start();
  using again = take(source);
  expect(again.sequence).toBe(0);
  expect(again).not.toBe(held);
});

test("the hello's numbers are those of the format", () => {
  using source = openTestSource("testsrc", { ...wish, format: "UYVY" });
  expect(source.picture).toEqual({
    width: 64,
    height: 48,
    pixelformat: fourcc("UYVY"),
    sizeimage: 6144,
  });
  expect(source.name).toBe("testsrc:bars");
  expect(source.memory).toBe("memfd");
});
