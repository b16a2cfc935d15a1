// Recordings that come through a pipe.
import { afterAll, beforeAll, expect, spyOn, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EPOLLIN } from "../../ffi/epoll.ts";
import { Fd, O_NONBLOCK, O_RDWR, O_WRONLY, writeAt } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { openPipeInput, type PipeInput } from "../../src/capture/pipe-input.ts";
import { openPipeSource } from "../../src/capture/pipe-source.ts";
import { log } from "../../src/cli/log.ts";
import type { Source } from "../../src/frame/source.ts";
import type { Loop } from "../../src/loop.ts";
import { described, quiet, sentBytes } from "../support/camera-options.ts";
import { onLoop } from "../support/loop.ts";
import { makePipes } from "../support/pipe.ts";
import { leftBehind, nothing } from "../support/resources.ts";

quiet();

let directory = "";
let pipes: string[] = [];
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "framepass-test-"));
  pipes = await makePipes(directory, 20);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const nextPipe = () => pipes.pop() ?? "";

const wish = { width: 4, height: 2, format: "YUYV", buffers: 2, fps: 0 };
const picture = (n: number, length: number) =>
  Uint8Array.from({ length }, (_, i) => (n * 37 + i) & 0xff);
const joined = (...parts: (string | Uint8Array)[]) =>
  new Uint8Array(Buffer.concat(parts.map((part) => Buffer.from(part))));

function put(to: Fd, bytes: Uint8Array): void {
  const copy = new Uint8Array(new ArrayBuffer(bytes.length));
  copy.set(bytes);
  expect(writeAt(to.number, addressOf(copy), copy.length)).toBe(copy.length);
}

/** Plays until the source has no more; the bytes of its frames. */
async function playAll(loop: Loop, source: Source, signal: AbortSignal): Promise<Uint8Array[]> {
  const frames: Uint8Array[] = [];
  const { promise, resolve, reject } = loop.promise<void>();
  source.start();
  using _watch = loop.watch(source.fd, EPOLLIN, () => {
    try {
      using frame = source.next();
      if (frame !== undefined) frames.push(Uint8Array.from(sentBytes(frame)));
      else if (source.exhausted === true) resolve();
    } catch (error) {
      reject(error);
    }
  });
  signal.addEventListener("abort", () => reject(new Error("not played in time")));
  await promise;
  return frames;
}

/** Opens a pipe that `parts` are written to, one after the other, and is then closed. */
async function through(
  loop: Loop,
  signal: AbortSignal,
  parts: readonly Uint8Array[],
  use: (pipe: PipeInput) => Promise<void>,
): Promise<void> {
  const path = nextPipe();
  const opening = openPipeInput(loop, path, signal);
  const holder = Fd.open(path, O_RDWR | O_NONBLOCK);
  const writer = Fd.open(path, O_WRONLY | O_NONBLOCK);
  const feeding = (async () => {
    for (const part of parts) {
      put(writer, part);
      await loop.sleep(3, signal);
    }
    writer[Symbol.dispose]();
    holder[Symbol.dispose]();
  })();
  using pipe = await opening;
  if (pipe === undefined) throw new Error("no pipe");
  await Promise.all([use(pipe), feeding]);
}

const y4m = joined(
  "YUV4MPEG2 W4 H2 F25:1 Cmono\n",
  ...[0, 1, 2].flatMap((n) => [n === 1 ? "FRAME Ip\r\n" : "FRAME\n", picture(n, 8)]),
);

test.each([1, 3, 7, 1000])(
  "YUV4MPEG2 that comes %d bytes at a time is played once",
  async (step) => {
    const left = await leftBehind("framepass", () =>
      onLoop(async (loop, signal) => {
        const parts: Uint8Array[] = [];
        for (let at = 0; at < y4m.length; at += step) parts.push(y4m.subarray(at, at + step));
        await through(loop, signal, parts, async (pipe) => {
          using source = openPipeSource(pipe, wish);
          expect(described(source.picture)).toBe("4x2 GREY 8");
          expect(await playAll(loop, source, signal)).toEqual([0, 1, 2].map((n) => picture(n, 8)));
        });
      }),
    );
    expect(left).toEqual(nothing);
  },
);

test.each([
  [48, 3],
  [47, 2],
  [16, 1],
])("of %d bytes of raw pictures the %d whole ones are played", (bytes, count) =>
  onLoop(async (loop, signal) => {
    const all = joined(...[0, 1, 2].map((n) => picture(n + 1, 16))).subarray(0, bytes);
    using warned = spyOn(log, "warn");
    await through(loop, signal, [all.subarray(0, 5), all.subarray(5)], async (pipe) => {
      using source = openPipeSource(pipe, wish);
      const expected = [1, 2, 3].slice(0, count).map((n) => picture(n, 16));
      expect(await playAll(loop, source, signal)).toEqual(expected);
    });
    expect(warned.mock.calls.length).toBe(bytes % 16 === 0 ? 0 : 1);
  }),
);

test("pictures come at their rate, and none is dropped while all buffers are lent", () =>
  onLoop(async (loop, signal) => {
    const frames = [0, 1, 2, 3, 4].map((n) => joined("FRAME\n", picture(n, 8)));
    const film = joined("YUV4MPEG2 W4 H2 F50:1 Cmono\n", ...frames);
    await through(loop, signal, [film], async (pipe) => {
      using source = openPipeSource(pipe, { ...wish, fps: undefined });
      expect(source.fps).toBe(50);
      const fromMs = performance.now();
      source.start();
      const lent = [];
      while (lent.length < 2 && !signal.aborted) {
        const frame = source.next();
        if (frame !== undefined) lent.push(frame);
        else await loop.sleep(1, signal);
      }
      await loop.sleep(100, signal);
      expect(source.next()).toBeUndefined();
      for (const frame of lent) frame[Symbol.dispose]();
      const rest = await playAll(loop, source, signal);
      expect(rest).toEqual([2, 3, 4].map((n) => picture(n, 8)));
      expect(performance.now() - fromMs).toBeGreaterThan(100);
      expect(source.drops).toBe(0);
    });
  }));

test.each([
  ["", /ended before the first picture$/],
  ["YUV4MPEG2 W4", /ended before the first picture$/],
])("a pipe that ends after %j is not available", (text, reason) =>
  onLoop(async (loop, signal) => {
    const path = nextPipe();
    const opening = openPipeInput(loop, path, signal);
    const holder = Fd.open(path, O_RDWR | O_NONBLOCK);
    if (text !== "") put(holder, joined(text));
    await loop.sleep(20, signal);
    holder[Symbol.dispose]();
    await expect(opening).rejects.toThrow(reason);
  }),
);

test("a stop while the pipe has no writer ends the wait", () =>
  onLoop(async (loop) => {
    const stop = new AbortController();
    const opening = openPipeInput(loop, nextPipe(), stop.signal);
    stop.abort();
    expect(await opening).toBeUndefined();
  }));

test.each([
  "YUV4MPEG2 W4 H2 Cmono\n",
  "YUV4MPEG2 W4 H2 Cmono\nFRA",
  "YUV4MPEG2 W4 H2 Cmono\nFRAME\n....",
  "raw, no picture",
])("a pipe that ends after %j had no picture: that is an error", (text) =>
  onLoop(async (loop, signal) => {
    await through(loop, signal, [joined(text)], async (pipe) => {
      using source = openPipeSource(pipe, wish);
      const played = playAll(loop, source, signal);
      await expect(played).rejects.toThrow("it ended before the first picture");
    });
  }),
);

test("a damaged line between two pictures ends the source", () =>
  onLoop(async (loop, signal) => {
    const film = joined("YUV4MPEG2 W4 H2 Cmono\nFRAME\n", picture(0, 8), "FRUME\n", picture(1, 8));
    await through(loop, signal, [film], async (pipe) => {
      using source = openPipeSource(pipe, wish);
      await expect(playAll(loop, source, signal)).rejects.toThrow("no FRAME before picture 2");
    });
  }));

test("what is no pipe is not opened as one", () =>
  onLoop(async (loop, signal) => {
    for (const path of ["testsrc", "/dev/null", "/etc/passwd", "/no/such/film"])
      expect(await openPipeInput(loop, path, signal)).toBeUndefined();
  }));
