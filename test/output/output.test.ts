// Files and pipes as outputs: when they are opened, what is left out, and what becomes of a frame that a pipe has not taken.
import { expect, spyOn, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { Fd, O_NONBLOCK, O_RDWR, readAt } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { log } from "../../src/cli/log.ts";
import { ProtocolError, UnavailableError } from "../../src/errors.ts";
import { fourcc } from "../../src/format/formats.ts";
import { memfdAllocator } from "../../src/frame/memory.ts";
import type { Loop } from "../../src/loop.ts";
import { type OutputOptions, openOutput } from "../../src/output/file.ts";
import { WrittenFiles } from "../../src/output/written-files.ts";
import { quiet } from "../support/camera-options.ts";
import { onLoop } from "../support/loop.ts";
import { makePipes } from "../support/pipe.ts";
import { plainBuffer } from "../support/plain-buffer.ts";
import { leftBehind, nothing } from "../support/resources.ts";
import { TempDir } from "../support/tool.ts";

quiet();

const grey = (width: number, height = 4, sizeimage = width * height) => ({
  ...{ width, height, sizeimage },
  pixelformat: fourcc("GREY"),
});
const calls = {
  ready: () => undefined,
  failed: () => undefined,
  returned: () => undefined,
  changed: () => undefined,
};
const facts = (bytesused: number, sequence = 0) => ({
  ...{ bytesused, sequence, flags: 0, ts_sec: 0, ts_usec: 0 },
});

/** Memory filled with `value`. */
const filled = (length: number, value: number) =>
  new Uint8Array(new ArrayBuffer(length)).fill(value);

/** Writes one frame per value as a stream of its own. */
function stream(
  output: ReturnType<typeof openOutput>,
  picture: ReturnType<typeof grey>,
  ...values: number[]
): void {
  using writer = output.begin(picture, calls);
  for (const [i, value] of values.entries()) {
    writer.add(0, plainBuffer(filled(picture.sizeimage, value)));
    expect(writer.write(0, facts(picture.sizeimage, i))).toBe("taken");
  }
}

const open = (loop: Loop, path: string, options?: OutputOptions) => openOutput(loop, path, options);

test("an existing file keeps its content until the first frame comes", () =>
  onLoop(async (loop) => {
    using temp = new TempDir();
    writeFileSync(temp.file("film"), "old");
    using output = open(loop, temp.file("film"));
    expect(readFileSync(temp.file("film"), "utf8")).toBe("old");
    stream(output, grey(2)); // no frame
    expect(output.finish(0)).toEqual([]);
    expect(readFileSync(temp.file("film"), "utf8")).toBe("old");
    using second = open(loop, temp.file("film"));
    stream(second, grey(2), 7);
    second.finish(0);
    expect([...readFileSync(temp.file("film"))]).toEqual(new Array(8).fill(7));
    using none = open(loop, temp.file("new"));
    none.finish(0);
    expect(existsSync(temp.file("new"))).toBe(false);
  }));

test("an output that cannot be written is refused before a sender comes, and nothing is made", () =>
  onLoop(async (loop) => {
    using temp = new TempDir();
    mkdirSync(temp.file("folder"));
    symlinkSync("no/such/target", temp.file("link"));
    symlinkSync("link", temp.file("link-to-link"));
    for (const [name, code] of [
      ["folder", "EISDIR"],
      ["film/", "EISDIR"],
      ["link", "ENOENT"],
      ["link-to-link", "ENOENT"],
      ["no/such/film", "ENOENT"],
    ]) {
      expect(() => open(loop, temp.file(`${name}`))).toThrow(UnavailableError);
      expect(() => open(loop, temp.file(`${name}`))).toThrow(`: ${code} `);
    }
  }));

test("a socket in the place of an output is refused, and not taken for a pipe without a reader", () =>
  onLoop(async (loop) => {
    using temp = new TempDir();
    const path = temp.file("socket");
    using _server = Bun.listen({ unix: path, socket: { data() {} } });
    expect(() => openOutput(loop, path)).toThrow(
      new UnavailableError(`open ${path}: this is a socket; choose another --output`),
    );
  }));

test("a file that another receiver writes is refused, now and when the first frame comes, and is left alone", () =>
  onLoop(async (loop) => {
    using temp = new TempDir();
    const path = temp.file("film");
    using early = open(loop, path);
    using first = open(loop, path);
    stream(first, grey(2), 1);
    const inUse =
      /^flock .*film: EAGAIN .*another program writes this file: choose another --output$/;
    expect(() => open(loop, path)).toThrow(inUse);
    expect(() => stream(early, grey(2), 2)).toThrow(inUse);
    stream(first, grey(2), 3);
    first.finish(0);
    expect([...readFileSync(path)]).toEqual([...new Array(8).fill(1), ...new Array(8).fill(3)]);
    using next = open(loop, path);
    stream(next, grey(2), 4);
    expect(next.frames).toBe(1);
  }));

test("--no-clobber refuses a file that exists, now and when the first frame comes", () =>
  onLoop(async (loop) => {
    using temp = new TempDir();
    writeFileSync(temp.file("film"), "old");
    const noClobber = { noClobber: true };
    expect(() => open(loop, temp.file("film"), noClobber)).toThrow(/EEXIST .*omit --no-clobber$/);
    using output = open(loop, temp.file("other"), noClobber);
    writeFileSync(temp.file("other"), "made meanwhile");
    expect(() => stream(output, grey(2), 1)).toThrow(/EEXIST .*omit --no-clobber$/);
    expect(readFileSync(temp.file("other"), "utf8")).toBe("made meanwhile");
  }));

test("a sender with the same frames appends, one with others begins the next free NAME-2", () =>
  onLoop(async (loop) => {
    using temp = new TempDir();
    writeFileSync(temp.file("film-2.y4m"), "of yesterday");
    using output = open(loop, temp.file("film.y4m"));
    stream(output, grey(2), 1, 2);
    stream(output, grey(4)); // it sends nothing, so it needs no file
    stream(output, grey(2), 3);
    stream(output, grey(4), 4);
    expect(output.finish(25)).toEqual([
      `play it: ffplay ${temp.file("film.y4m")}`,
      `play it: ffplay ${temp.file("film-3.y4m")}`,
    ]);
    expect(output.frames).toBe(4);
    const first = readFileSync(temp.file("film.y4m"), "latin1");
    expect(first.split("FRAME\n")).toHaveLength(4);
    expect(first).toStartWith("YUV4MPEG2 W2 H4 F");
    expect(readFileSync(temp.file("film-2.y4m"), "utf8")).toBe("of yesterday");
    expect(readFileSync(temp.file("film-3.y4m"), "latin1")).toStartWith(
      "YUV4MPEG2 W4 H4 F00025000",
    );
  }));

test("a pipe refuses a stream with other frames", () =>
  onLoop(async (loop) => {
    using temp = new TempDir();
    Bun.spawnSync(["mkfifo", temp.file("pipe")]);
    using _reader = Fd.open(temp.file("pipe"), O_RDWR | O_NONBLOCK);
    using output = open(loop, temp.file("pipe"));
    stream(output, grey(2), 1);
    expect(() => output.begin(grey(4), calls)).toThrow("hello: the stream is 4x4 GREY");
  }));

test("raw files hold whole pictures only: short frames are left out and counted, said once", () =>
  onLoop(async (loop) => {
    using temp = new TempDir();
    using output = open(loop, temp.file("film"));
    using warned = spyOn(log, "warn");
    using writer = output.begin(grey(16), calls);
    writer.add(0, plainBuffer(filled(64, 1)));
    for (const bytes of [64, 43, 0, 64]) expect(writer.write(0, facts(bytes))).toBe("taken");
    expect(warned.mock.calls).toHaveLength(1);
    expect(output.finish(0)[0]).toBe("2 short frames were left out");
    expect(readFileSync(temp.file("film"))).toHaveLength(128);
  }));

test("compressed frames have any length and are none of them short", () =>
  onLoop(async (loop) => {
    using temp = new TempDir();
    using output = open(loop, temp.file("film"));
    using writer = output.begin({ ...grey(16), pixelformat: fourcc("MJPG") }, calls);
    writer.add(0, plainBuffer(filled(64, 1)));
    for (const bytes of [64, 3, 17]) expect(writer.write(0, facts(bytes))).toBe("taken");
    expect(output.finish(0)).toEqual([`play it: ffplay -f mjpeg ${temp.file("film")}`]);
    expect(readFileSync(temp.file("film"))).toHaveLength(84);
  }));

test.each(["film", "film.y4m"])("padded rows are written to %s without their padding", (name) =>
  onLoop(async (loop) => {
    using temp = new TempDir();
    using output = open(loop, temp.file(name));
    using writer = output.begin(grey(10, 4, 64), calls);
    const memory = filled(64, 0xff);
    for (let y = 0; y < 4; y++) memory.fill(y, y * 16, y * 16 + 10);
    writer.add(0, plainBuffer(memory));
    writer.write(0, facts(64));
    writer.write(0, facts(40)); // the same buffer with tight rows
    writer.write(0, facts(50)); // padded rows that are cut short
    expect(output.leftOutFrames).toBe(1);
    output.finish(0);
    const bytes = [...readFileSync(temp.file(name))];
    const picture = [0, 1, 2, 3].flatMap((y) => new Array<number>(10).fill(y));
    expect(bytes.slice(-40)).toEqual([...memory.subarray(0, 40)]);
    const mark = name === "film" ? 0 : 6;
    expect(bytes.slice(-80 - mark, -40 - mark)).toEqual(picture);
  }),
);

test("frames that hold no picture are refused with the sizes", () =>
  onLoop(async (loop) => {
    using temp = new TempDir();
    using output = open(loop, temp.file("film"));
    expect(() => output.begin(grey(16, 4, 63), calls)).toThrow(ProtocolError);
    expect(() => output.begin(grey(16, 4, 63), calls)).toThrow(
      "hello: 63 bytes are no 16x4 GREY picture: it has 64,",
    );
    using writer = output.begin(grey(16, 4, 70), calls);
    writer.add(0, plainBuffer(filled(70, 1)));
    expect(() => writer.write(0, facts(70))).toThrow(
      "frame: 70 bytes are no 16x4 GREY picture: it has 64,",
    );
    expect(existsSync(temp.file("film"))).toBe(false);
  }));

/** Reads everything that a pipe has. */
function drain(reader: Fd): Uint8Array {
  const parts: Uint8Array[] = [];
  for (;;) {
    const bytes = new Uint8Array(new ArrayBuffer(1 << 16));
    const r = readAt(reader.number, addressOf(bytes), bytes.length);
    if (r <= 0) return new Uint8Array(Buffer.concat(parts));
    parts.push(bytes.subarray(0, r));
  }
}

test("a stream that ends while a pipe is full leaves its frame whole, and the next one goes on", async () => {
  const size = 200_000;
  const picture = grey(1000, 200);
  using temp = new TempDir();
  const [path = ""] = await makePipes(temp.path, 1);
  const left = await leftBehind("framepass", () =>
    onLoop(async (loop, signal) => {
      using reader = Fd.open(path, O_RDWR | O_NONBLOCK);
      using output = open(loop, path);
      for (const value of [1, 2, 3]) {
        using buffer = memfdAllocator.allocate(size);
        buffer.mapping.bytes.fill(value);
        using writer = output.begin(picture, calls);
        writer.add(0, buffer);
        expect(writer.write(0, facts(size))).toBe("waits");
      }
      // The first frame was begun, the others were not; now the pipe is read, and a fourth comes.
      const ready = Promise.withResolvers<void>();
      using last = output.begin(picture, { ...calls, ready: () => ready.resolve() });
      last.add(0, plainBuffer(filled(size, 4)));
      expect(last.write(0, facts(size))).toBe("waits");
      const got: Uint8Array[] = [];
      while (got.reduce((sum, { length }) => sum + length, 0) < 2 * size && !signal.aborted) {
        got.push(drain(reader));
        await loop.sleep(1, signal);
      }
      await ready.promise;
      const bytes = Buffer.concat(got);
      expect(bytes.length).toBe(2 * size);
      expect(bytes.subarray(0, size).every((byte) => byte === 1)).toBe(true);
      expect(bytes.subarray(size).every((byte) => byte === 4)).toBe(true);
      expect(output.frames).toBe(2);
    }),
  );
  expect(left).toEqual(nothing);
});

test("a frame that another stream overwrites is not in the file", () =>
  onLoop(async (loop) => {
    using temp = new TempDir();
    using output = open(loop, temp.file("film"));
    let changes = 0;
    using writer = output.begin(grey(8), { ...calls, changed: () => (changes += 1) });
    let changed = false;
    for (const [value, overwritten] of [
      [1, false],
      [2, true],
      [3, false],
    ] as const) {
      changed = overwritten;
      writer.add(
        0,
        plainBuffer(filled(32, value), () => changed),
      );
      expect(writer.write(0, facts(32))).toBe("taken");
    }
    output.finish(0);
    expect(changes).toBe(1);
    expect([...readFileSync(temp.file("film"))]).toEqual(
      [1, 3].flatMap((v) => new Array(32).fill(v)),
    );
  }));

test("while a pipe is full, another stream may overwrite the buffer and the pipe gets the frame as it was", () =>
  onLoop(async (loop, signal) => {
    const size = 200_000;
    using temp = new TempDir();
    Bun.spawnSync(["mkfifo", temp.file("pipe")]);
    using reader = Fd.open(temp.file("pipe"), O_RDWR | O_NONBLOCK);
    using output = open(loop, temp.file("pipe"));
    let changed = false;
    const ready = Promise.withResolvers<void>();
    using writer = output.begin(grey(1000, 200), { ...calls, ready: () => ready.resolve() });
    const memory = filled(size, 5);
    writer.add(
      0,
      plainBuffer(memory, () => changed),
    );
    expect(writer.write(0, facts(size))).toBe("waits");
    changed = true;
    memory.fill(6); // the next sender
    const got: Uint8Array[] = [];
    while (got.reduce((sum, { length }) => sum + length, 0) < size && !signal.aborted) {
      got.push(drain(reader));
      await loop.sleep(1, signal);
    }
    await ready.promise;
    expect(Buffer.concat(got).every((byte) => byte === 5)).toBe(true);
  }));

test("a file that the same tool has written for another sender is not emptied: the stream gets the next name", () =>
  onLoop(async (loop) => {
    using temp = new TempDir();
    const [path, link] = [temp.file("film"), temp.file("link")];
    writeFileSync(path, "old");
    symlinkSync("film", link);
    const options = { written: new WrittenFiles() };
    using first = openOutput(loop, path, options);
    stream(first, grey(2), 1);
    using second = openOutput(loop, path, options);
    stream(second, grey(2), 2);
    first.finish(0);
    using third = openOutput(loop, link, { ...options, noClobber: true });
    stream(third, grey(2), 3);
    second.finish(0);
    third.finish(0);
    const firstBytes = ["film", "film-2", "link-2"].map((name) => readFileSync(temp.file(name))[0]);
    expect(firstBytes).toEqual([1, 2, 3]);
  }));
