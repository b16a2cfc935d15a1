// The receiver: a listener, one sender after the other, and what to do when one of them is wrong.
import { monotonicUs } from "../../ffi/clock.ts";
import { SysError } from "../../ffi/errno.ts";
import {
  V4L2_BUF_FLAG_TIMESTAMP_MASK,
  V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC,
} from "../../ffi/linux/videodev2.ts";
import { ProtocolError } from "../errors.ts";
import { fourccName } from "../format/formats.ts";
import { log } from "../log.ts";
import type { Loop } from "../loop.ts";
import { type StatsOptions, StreamStats } from "../stats.ts";
import type { Address } from "./address.ts";
import { Listener, type Peer } from "./listener.ts";
import type { FrameHeader, StreamInfo } from "./messages.ts";
import { type ReceptionEnd, receiveStream } from "./reception.ts";
import { isSameHost } from "./same-host.ts";
import type { OpenTarget } from "./target.ts";

export interface ReceiverOptions extends StatsOptions {
  readonly address: Address;
  readonly allowed: (peer: string) => boolean;
  readonly keep: boolean;
  readonly maxFrame: number;
  readonly stallMs?: number;
  readonly openTarget: OpenTarget;
  /** Done once the address is ours and before it is announced: opens what a failed start must not touch. */
  readonly prepare?: () => Promise<void>;
  /** Told where it listens. */
  readonly listening?: (name: string) => void;
  /** Lines and fields for the summary, asked for at the end. */
  readonly summary?: (stats: StreamStats) => { lines: string[]; fields: Record<string, unknown> };
}

/** A frame older than this has been stamped by another clock than ours. */
const OLDEST_US = 10e6;

/** Receives until the sender is gone (without --keep), there were enough frames, or `signal` aborts. Throws what ended it otherwise. */
export async function runReceiver(
  loop: Loop,
  options: ReceiverOptions,
  signal: AbortSignal,
): Promise<ReceptionEnd> {
  using listener = await Listener.open(loop, options.address, options.allowed, signal);
  if (listener !== undefined) {
    await options.prepare?.();
    log.info(`listening on ${listener.name}`);
    options.listening?.(listener.name);
  }
  const counts = { drops: 0, errors: 0 };
  using stats = new StreamStats(loop, options, () => counts);
  const finish = (reason: string) => {
    const { lines = [], fields = {} } = options.summary?.(stats) ?? {};
    stats.finish(reason, lines, fields);
  };
  try {
    for (;;) {
      const peer = await listener?.next(signal);
      if (peer === undefined) {
        finish("stopped");
        return "stopped";
      }
      try {
        const end = await serve(loop, peer, options, stats, counts, signal);
        if (end === "closed") log.info(`${peer.address.name} has gone`);
        if (end !== "closed" || !options.keep) {
          finish(end === "stopped" ? "stopped" : "done");
          return end;
        }
      } catch (error) {
        if (!options.keep || !isPeersFault(error, peer)) throw error;
        counts.errors += 1;
        log.warn(`${(error as Error).message}; waiting for the next sender`);
      } finally {
        stats.streaming = false;
      }
    }
  } catch (error) {
    finish("failed");
    throw error;
  }
}

/** A failed call on the connection, or a wrong message: the next sender may do better. A full disk is ours. */
function isPeersFault(error: unknown, peer: Peer): boolean {
  if (error instanceof ProtocolError) return true;
  return error instanceof SysError && error.object === peer.socket.name;
}

async function serve(
  loop: Loop,
  peer: Peer,
  options: ReceiverOptions,
  stats: StreamStats,
  counts: { drops: number; errors: number },
  signal: AbortSignal,
): Promise<ReceptionEnd> {
  using socket = peer.socket;
  // Timestamps of another host count from another boot.
  const sameClock = isSameHost(socket);
  let last = -1;
  let sizeimage = 0;
  const started = (stream: StreamInfo) => {
    const { width, height, pixelformat, bufferCount } = stream;
    sizeimage = stream.sizeimage;
    const format = fourccName(pixelformat);
    log.info(
      `${peer.address.name} sends ${width}x${height} ${format}, ${sizeimage} bytes a frame, ${bufferCount} buffers`,
    );
    stats.record("started", {
      peer: peer.address.name,
      width,
      height,
      format,
      sizeimage,
      buffers: bufferCount,
    });
    stats.streaming = true;
  };
  const count = (header: FrameHeader) => {
    const gap = header.sequence - last - 1;
    if (last >= 0 && gap > 0 && gap < 0x1_0000_0000) counts.drops += gap;
    last = header.sequence;
    if (header.bytesused < sizeimage) stats.short += 1;
    if (sameClock) addLatency(stats, header);
    stats.frame(header.bytesused);
    return options.frames === undefined || stats.frames < options.frames;
  };
  const { maxFrame, stallMs = 10_000, openTarget } = options;
  return await receiveStream(
    loop,
    socket,
    { maxFrame, stallMs, openTarget, started, taken: count },
    signal,
  );
}

/** Adds the time from capture to complete. */
function addLatency(stats: StreamStats, header: FrameHeader): void {
  const clock = header.flags & V4L2_BUF_FLAG_TIMESTAMP_MASK;
  if (clock !== V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC) return;
  const us = monotonicUs() - (header.ts_sec * 1e6 + header.ts_usec);
  if (us >= 0 && us < OLDEST_US) stats.latency.add(us);
}
