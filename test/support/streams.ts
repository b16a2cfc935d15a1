// Both ends of a zero-copy stream in this process: a loop, a socket pair, and what each end needs.
import type { Fd } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { receive, send, socketPair } from "../../ffi/socket.ts";
import { openTestSource } from "../../src/capture/testsrc.ts";
import { StreamStats } from "../../src/cli/stats.ts";
import { StampChecker } from "../../src/format/stamp.ts";
import { type Importer, type SharedSource, shareSource } from "../../src/frame/sharing.ts";
import { Loop } from "../../src/loop.ts";
import { exportDescriptors } from "../../src/share/fd.ts";
import { borrowFrames } from "../../src/stream/zero-copy/borrow.ts";
import { lendFrames } from "../../src/stream/zero-copy/lend.ts";
import { type LendCounts, noCounts } from "../../src/stream/zero-copy/lend-counts.ts";
import { openConsumer } from "../../src/stream/zero-copy/view-target.ts";

export const never = new AbortController().signal;

/** The built-in source, shared by descriptors. */
export function sharedTestSource(
  options: { buffers?: number; fps?: number; width?: number; height?: number } = {},
): SharedSource {
  const { buffers = 4, fps = 0, width = 32, height = 16 } = options;
  const wish = { width, height, format: "YUYV", fps, buffers };
  return shareSource(openTestSource("testsrc", wish), exportDescriptors);
}

export function quietStats(loop: Loop): StreamStats {
  return new StreamStats(loop, { stats: 0, json: false }, () => ({ drops: {}, errors: 0 }));
}

/** Lends `frames` frames over `socket`. */
export async function lend(
  loop: Loop,
  socket: Fd,
  shared: SharedSource,
  options: {
    frames: number;
    ackTimeoutMs?: number;
    stallMs?: number;
    requeue?: boolean;
    counts?: LendCounts;
    signal?: AbortSignal;
  },
): Promise<"done" | "stopped"> {
  using stats = quietStats(loop);
  const {
    ackTimeoutMs = 2000,
    stallMs = 0,
    requeue = false,
    counts = noCounts(),
    signal = never,
  } = options;
  shared.source.start();
  const { frames } = options;
  const how = { frames, stats, ackTimeoutMs, stallMs, requeue, counts, signal };
  return await lendFrames({ loop, socket, shared, ...how });
}

/** Reads frames from `socket` and checks their stamps; answers how many were right and how the stream ended. */
export async function borrow(
  loop: Loop,
  socket: Fd,
  importers: readonly Importer[],
  options: { frames?: number; stallMs?: number; maxFrame?: number } = {},
): Promise<{ verified: number; end: string }> {
  const checker = new StampChecker();
  const { frames = Number.POSITIVE_INFINITY, stallMs = 2000, maxFrame = 1 << 26 } = options;
  const end = await borrowFrames({
    loop,
    socket,
    signal: never,
    maxFrame,
    stallMs,
    importers,
    openView: openConsumer({ checker }),
    started: () => undefined,
    taken: () => checker.verified < frames,
  });
  return { verified: checker.verified, end };
}

/** Runs `task` on a loop of its own. */
export async function onLoop<T>(task: (loop: Loop, near: Fd, far: Fd) => Promise<T>): Promise<T> {
  using loop = new Loop();
  const [near, far] = socketPair();
  using _near = near;
  using _far = far;
  return await loop.run(task(loop, near, far));
}

/** Sends all of `bytes`. Throws when the socket's buffer is full. */
export function put(socket: Fd, bytes: Uint8Array<ArrayBuffer>): void {
  if (bytes.length === 0) return;
  const r = send(socket, addressOf(bytes), bytes.length);
  if (r !== bytes.length) throw new Error(`sent ${r} of ${bytes.length} bytes`);
}

/** Reads what has arrived, at most `most` bytes. */
export function takeAll(socket: Fd, most = 1 << 20): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(most));
  let got = 0;
  while (got < most) {
    const r = receive(socket, addressOf(bytes) + got, most - got);
    if (r <= 0) break;
    got += r;
  }
  return bytes.subarray(0, got);
}
