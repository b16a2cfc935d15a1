// How often the copy flow's receiver wakes up and calls the kernel for a frame, and that it waits for no byte too many.
import { expect, spyOn, test } from "bun:test";
import fc from "fast-check";
import type { Fd } from "../../../ffi/fd.ts";
import { addressOf, libc } from "../../../ffi/libc.ts";
import { SO_RCVLOWAT, SOL_SOCKET } from "../../../ffi/linux/socket.ts";
import { inetAddress } from "../../../ffi/sockaddr.ts";
import {
  accept,
  getOption,
  listenOn,
  localAddress,
  send,
  socketPair,
  startConnect,
} from "../../../ffi/socket.ts";
import { memfdAllocator } from "../../../src/frame/memory.ts";
import type { Loop } from "../../../src/loop.ts";
import { MemoryTarget } from "../../../src/stream/copy/memory-target.ts";
import { frameHeader } from "../../../src/stream/copy/messages.ts";
import { type CopyReceiveOptions, receiveFrames } from "../../../src/stream/copy/receive.ts";
import { FRAME_MAGIC, makeHello } from "../../../src/stream/hello.ts";
import { onLoop } from "../../support/loop.ts";

const LARGE = { width: 640, height: 480, pixelformat: 0x56595559, sizeimage: 614_400 };
const SMALL = { width: 64, height: 48, pixelformat: 0x56595559, sizeimage: 6144 };
const never = new AbortController().signal;

/** A connection over the loopback interface. */
function tcpPair(): [Fd, Fd] {
  using listener = listenOn(inetAddress("127.0.0.1", 0));
  const near = startConnect(localAddress(listener));
  for (let tries = 0; tries < 1000; tries++) {
    const far = accept(listener)?.socket;
    if (far !== undefined) return [near, far];
    Bun.sleepSync(1);
  }
  throw new Error("the connection was not accepted");
}

/** Runs `task` on a loop of its own, with both ends of a connection. */
function connected(
  pair: () => [Fd, Fd],
  task: (loop: Loop, from: Fd, to: Fd) => Promise<void>,
  limitMs?: number,
): Promise<void> {
  return onLoop(async (loop) => {
    const [near, far] = pair();
    using from = near;
    using to = far;
    await task(loop, from, to);
  }, limitMs);
}

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
    stallMs: 0,
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
  connected(socketPair, async (loop, from, to) => {
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

test("a frame that arrives in 60 parts over TCP wakes the receiver at most five times", () =>
  connected(
    tcpPair,
    async (loop, from, to) => {
      const { frames, ended } = take(loop, to, 11);
      await put(loop, from, makeHello(LARGE, 1).$bytes);
      await put(loop, from, frame(0, LARGE.sizeimage)); // TCP learns how large its window has to be
      await wait(loop, "the first frame", () => frames.length === 1);
      using recv = spyOn(libc, "recv");
      using recvmsg = spyOn(libc, "recvmsg");
      using setsockopt = spyOn(libc, "setsockopt");
      for (let i = 1; i <= 10; i++) {
        const bytes = frame(i, LARGE.sizeimage);
        for (let at = 0; at < bytes.length; at += 10_241) {
          await put(loop, from, bytes.slice(at, at + 10_241));
          await loop.sleep(1, never);
        }
        await wait(loop, `frame ${i}`, () => frames.length > i);
      }
      expect(await ended).toBe("enough");
      expect(recv.mock.calls.length + recvmsg.mock.calls.length).toBeLessThanOrEqual(10 * 5);
      expect(setsockopt.mock.calls.length).toBeLessThanOrEqual(10 * 4);
    },
    20_000,
  ));

test("a frame over TCP is taken when its last byte has arrived, whatever its size and its parts", () =>
  connected(
    tcpPair,
    async (loop, from, to) => {
      const { frames, ended } = take(loop, to, Number.POSITIVE_INFINITY);
      const large = { width: 1920, height: 1080, pixelformat: 0x56595559, sizeimage: 4_147_200 };
      await put(loop, from, makeHello(large, 1).$bytes);
      const sizes = [0, 1, 39, 40, 41, 1000, 65_536, 262_144, 524_288, 524_289, 614_400, 4_147_200];
      const random = fc.sample(fc.integer({ min: 0, max: 700_000 }), { numRuns: 40, seed: 1 });
      for (const [i, size] of [...sizes, ...sizes.toReversed(), ...random].entries()) {
        const bytes = frame(i, size);
        const cut = (i * 7919) % (bytes.length + 1);
        await put(loop, from, bytes.slice(0, cut));
        if (i % 3 === 0) await loop.sleep(2, never);
        await put(loop, from, bytes.slice(cut));
        await wait(loop, `frame ${i} of ${size} bytes`, () => frames.length > i);
        expect(frames[i]).toEqual({ sequence: i, bytesused: size });
      }
      from.close();
      expect(await ended).toBe("closed");
    },
    30_000,
  ));

test("a sender over TCP that sends a few bytes a second is slow, not silent", () =>
  connected(
    tcpPair,
    async (loop, from, to) => {
      const { frames, ended } = take(loop, to, 2, { stallMs: 3000 });
      await put(loop, from, makeHello(LARGE, 1).$bytes);
      const bytes = frame(0, LARGE.sizeimage);
      await put(loop, from, bytes.slice(0, 1000));
      for (let at = 1000; at < 1100; at += 10) {
        await put(loop, from, bytes.slice(at, at + 10));
        await loop.sleep(500, never);
      }
      await put(loop, from, bytes.slice(1100));
      await put(loop, from, frame(1, 1));
      expect(await ended).toBe("enough");
      expect(frames.map(({ bytesused }) => bytesused)).toEqual([LARGE.sizeimage, 1]);
    },
    20_000,
  ));

test("a sender over TCP that is silent in the middle of a frame is noticed, with all that it sent", () =>
  connected(
    tcpPair,
    async (loop, from, to) => {
      const { ended } = take(loop, to, 1, { stallMs: 2000 });
      await put(loop, from, makeHello(LARGE, 1).$bytes);
      await put(loop, from, frame(0, LARGE.sizeimage).slice(0, 40 + 5000));
      await loop.sleep(20, never);
      await put(loop, from, new Uint8Array(new ArrayBuffer(50)));
      const failure = await ended.catch((error: Error) => error.message);
      expect(getOption(to, SOL_SOCKET, SO_RCVLOWAT)).toBe(1); // for the refusal, which reads what still comes
      expect(failure).toContain("silent for 2 s after 5050 of the 614400 bytes of a payload");
    },
    10_000,
  ));

test("a sender over TCP that closes in the middle of a frame is noticed at once", () =>
  connected(tcpPair, async (loop, from, to) => {
    const { ended } = take(loop, to, 1);
    await put(loop, from, makeHello(LARGE, 1).$bytes);
    await put(loop, from, frame(0, LARGE.sizeimage).slice(0, 40 + 5000));
    await loop.sleep(20, never);
    from.close();
    const failure = await ended.catch((error: Error) => error.message);
    expect(failure).toContain("closed after 5000 of the 614400 bytes of a payload");
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
  connected(socketPair, async (loop, from, to) => {
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
  connected(socketPair, async (loop, from, to) => {
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
