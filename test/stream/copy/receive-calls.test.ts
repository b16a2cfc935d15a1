// How often the copy flow's receiver calls the kernel for a frame, and what it does with a header that comes with the frame before it.
import { afterAll, beforeAll, expect, spyOn, test } from "bun:test";
import type { Fd } from "../../../ffi/fd.ts";
import { addressOf, libc } from "../../../ffi/libc.ts";
import { send, socketPair } from "../../../ffi/socket.ts";
import { log } from "../../../src/cli/log.ts";
import { memfdAllocator } from "../../../src/frame/memory.ts";
import type { Loop } from "../../../src/loop.ts";
import { MemoryTarget } from "../../../src/stream/copy/memory-target.ts";
import { frameHeader } from "../../../src/stream/copy/messages.ts";
import { type CopyReceiveOptions, receiveFrames } from "../../../src/stream/copy/receive.ts";
import { FRAME_MAGIC, makeHello } from "../../../src/stream/hello.ts";
import { onLoop } from "../../support/loop.ts";

let level = log.level;
beforeAll(() => {
  level = log.level;
  log.level = -1;
});
afterAll(() => {
  log.level = level;
});

const SMALL = { width: 64, height: 48, pixelformat: 0x56595559, sizeimage: 6144 };
const never = new AbortController().signal;

/** Header and picture of a frame of `length` bytes, each of them `sequence`. */
function frame(sequence: number, length: number): Uint8Array<ArrayBuffer> {
  const header = frameHeader.alloc();
  Object.assign(header, { magic: FRAME_MAGIC, bytesused: length, sequence });
  const bytes = new Uint8Array(new ArrayBuffer(frameHeader.size + length)).fill(sequence);
  bytes.set(header.$bytes);
  return bytes;
}

async function put(loop: Loop, to: Fd, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  for (let done = 0, tries = 0; done < bytes.length; tries++) {
    const r = send(to, addressOf(bytes) + done, bytes.length - done);
    if (r > 0) done += r;
    else if (tries > 5000) throw new Error("the receiver does not read");
    else await loop.sleep(1, never);
  }
}

/** Waits until `seen` is true. */
async function wait(loop: Loop, what: string, seen: () => boolean): Promise<void> {
  for (let tries = 0; !seen(); tries++) {
    if (tries > 5000) throw new Error(`${what}: not after ${tries} ms`);
    await loop.sleep(1, never);
  }
}

interface Frame {
  readonly sequence: number;
  readonly bytesused: number;
}

/** Receives from `socket` until `most` frames were taken; `frames` has those that were. */
function take(loop: Loop, socket: Fd, most: number, more: Partial<CopyReceiveOptions> = {}) {
  const frames: Frame[] = [];
  const ended = receiveFrames({
    loop,
    socket,
    signal: never,
    maxFrame: 2 ** 26,
    stallMs: 10_000,
    openTarget: (stream, waiting) =>
      new MemoryTarget(stream, { allocator: memfdAllocator }, waiting),
    started: () => undefined,
    taken: ({ sequence, bytesused }) => {
      frames.push({ sequence, bytesused });
      return frames.length < most;
    },
    ...more,
  });
  return { frames, ended };
}

test("frames that have arrived take one call each, which also receives the next header", () =>
  onLoop(async (loop) => {
    const [near, far] = socketPair();
    using from = near;
    using to = far;
    using recv = spyOn(libc, "recv");
    using recvmsg = spyOn(libc, "recvmsg");
    const hello = makeHello(SMALL, 1).$bytes;
    await put(loop, from, hello);
    for (let i = 0; i < 10; i++) await put(loop, from, frame(i, 6144));
    const { frames, ended } = take(loop, to, 10);
    expect(await ended).toBe("enough");
    expect(frames.map(({ sequence }) => sequence)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(recv).toHaveBeenCalledTimes(2); // hello and first header
    expect(recvmsg).toHaveBeenCalledTimes(10);
  }));

/** A target whose frames are taken when `go` is called. Keeps copies of the first byte of each. */
function slowTarget() {
  const memory = new Uint8Array(new ArrayBuffer(SMALL.sizeimage));
  const seen: { sequence: number; first: number }[] = [];
  let ready = () => {};
  const openTarget: CopyReceiveOptions["openTarget"] = (_, waiting) => {
    ready = () => waiting.ready("taken");
    return {
      begin: () => addressOf(memory),
      complete: ({ sequence }) => {
        seen.push({ sequence, first: memory[0] ?? -1 });
        return false;
      },
      [Symbol.dispose]: () => undefined,
    };
  };
  return { seen, openTarget, go: () => ready() };
}

test("a target that waits keeps its frame, and frames without bytes behind it are delivered in turn", () =>
  onLoop(async (loop) => {
    const [near, far] = socketPair();
    using from = near;
    using to = far;
    const { seen, openTarget, go } = slowTarget();
    const { frames, ended } = take(loop, to, Number.POSITIVE_INFINITY, { openTarget });
    await put(loop, from, makeHello(SMALL, 1).$bytes);
    for (const [i, length] of [6144, 0, 0, 6144].entries()) await put(loop, from, frame(i, length));
    await wait(loop, "the first frame", () => seen.length === 1);
    await loop.sleep(20, never);
    from.close();
    for (let i = 0; i < 4; i++) {
      await wait(loop, `frame ${i}`, () => seen.length > i);
      await loop.sleep(5, never);
      expect(seen).toHaveLength(i + 1); // the next one waits
      go();
    }
    expect(await ended).toBe("closed");
    expect(seen.map(({ sequence }) => sequence)).toEqual([0, 1, 2, 3]);
    expect(seen.map(({ first }) => first)).toEqual([0, 0, 0, 3]);
    expect(frames.map(({ sequence }) => sequence)).toEqual([0, 1, 2, 3]);
  }));

test("a header that was received with the frame before it is checked after that frame was taken", () =>
  onLoop(async (loop) => {
    const [near, far] = socketPair();
    using from = near;
    using to = far;
    const wrong = frame(1, 0);
    wrong[0] = 7;
    await put(loop, from, makeHello(SMALL, 1).$bytes);
    await put(loop, from, frame(0, 6144));
    await put(loop, from, wrong);
    const { frames, ended } = take(loop, to, Number.POSITIVE_INFINITY);
    const failure = await ended.catch((error: Error) => error.message);
    expect(failure).toContain("frame: magic is 0x0752464d");
    expect(frames).toEqual([{ sequence: 0, bytesused: 6144 }]);
  }));
