// One connection of a receiver, for both flows: counts its frames, and tells a sender that is refused why.
import { V4L2_BUF_FLAG_ERROR } from "../../ffi/linux/videodev2.ts";
import { counted } from "../cli/counted.ts";
import { log } from "../cli/log.ts";
import {
  addLatency,
  type StatsOptions,
  type StreamStats,
  stampedUs,
  whoseText,
} from "../cli/stats.ts";
import { PeerGone, ProtocolError, ReaderLeft, UnavailableError } from "../errors.ts";
import { fourccName } from "../format/formats.ts";
import { wholeBytes } from "../format/picture-layout.ts";
import type { CaptureTime, FrameFacts, StreamInfo } from "../frame/frame.ts";
import type { PictureSink } from "../frame/picture-sink.ts";
import type { Loop } from "../loop.ts";
import type { ConnectionRun, ReceiveEnd } from "./connection.ts";
import { refuse } from "./refusal.ts";
import type { Peer } from "./socket/listener.ts";
import { isSameHost } from "./socket/same-host.ts";

/** One connection, for the function that receives over it. */
export interface ServeRun extends ConnectionRun {
  /** The connection ends when the sender is silent for this long in the middle of a message; 0: never. */
  readonly stallMs: number;
  /** How long the connection may keep the loop while others wait, in ms. Without it there are no others. */
  readonly turnMs?: number | undefined;
  /** Called when the stream is accepted. Returns false when no frame of it is wanted. */
  readonly started: (stream: StreamInfo) => boolean | undefined;
  /** Called for each frame that was taken; returns whether more are wanted. */
  readonly taken: (frame: FrameFacts) => boolean;
  readonly captureTime: CaptureTime;
  /** Takes a copy of a picture when a request of --metrics has asked for one. */
  readonly pictures?: PictureSink | undefined;
}

/** What all connections of one sender have in common. */
export interface ConnectionOptions extends Pick<StatsOptions, "frames" | "latency" | "whose"> {
  readonly stallMs: number;
  readonly turnMs?: number | undefined;
  readonly pictures?: PictureSink | undefined;
  /** Receives frames over one connection. */
  readonly receive: (run: ServeRun) => Promise<ReceiveEnd>;
}

/** What a receiver counts over all connections of one sender. */
export interface Counts {
  /** Gaps in the sequence numbers. */
  drops: number;
  /** Damaged frames, and connections that ended with an error. */
  errors: number;
}

/** A sender that is gone or wrong, or whose buffers this host cannot map: the next one may do better. A full disk is ours. */
export function isPeersFault(error: unknown): boolean {
  return error instanceof ProtocolError || error instanceof UnavailableError;
}

function refusalReason(error: unknown): string {
  if (error instanceof ReaderLeft) return "the program that read its frames has ended";
  return isPeersFault(error) ? (error as Error).message : "it has failed";
}

/** Serves `peer` until its connection ends. Throws what ended it with an error. */
export async function serveConnection(
  loop: Loop,
  peer: Peer,
  options: ConnectionOptions,
  stats: StreamStats,
  counts: Counts,
  signal: AbortSignal,
): Promise<ReceiveEnd> {
  using socket = peer.socket;
  // CLOCK_MONOTONIC of another host starts at its own boot.
  const sameClock = isSameHost(socket);
  const captureTime = ({ flags, ts_sec, ts_usec }: FrameFacts) =>
    sameClock ? stampedUs(flags, ts_sec, ts_usec) : undefined;
  let last = -1;
  let sizeimage = 0;
  let whole = 0;
  const started = (stream: StreamInfo) => {
    const { width, height, pixelformat, bufferCount } = stream;
    sizeimage = stream.sizeimage;
    whole = wholeBytes(stream);
    const format = fourccName(pixelformat);
    log.info(
      `${whoseText(options.whose)}${peer.address.name} sends ${width}x${height} ${format}, ${sizeimage} bytes a frame, ${counted(bufferCount, "buffer")}`,
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
    stats.reportDoing(`receiving ${width}x${height} ${format} from ${peer.address.name}`);
    return options.frames !== 0;
  };
  const taken = (header: FrameFacts) => {
    const gap = header.sequence - last - 1;
    if (last >= 0 && gap > 0 && gap < 0x1_0000_0000) counts.drops += gap;
    last = header.sequence;
    if ((header.flags & V4L2_BUF_FLAG_ERROR) !== 0) counts.errors += 1;
    if (header.bytesused < whole) stats.short += 1;
    if (options.latency === undefined) addLatency(stats.latency, captureTime(header));
    stats.frame(header.bytesused);
    return options.frames === undefined || stats.frames < options.frames;
  };
  const { stallMs, turnMs, pictures } = options;
  const run = { loop, socket, stallMs, turnMs, started, taken, captureTime, pictures, signal };
  try {
    return await options.receive(run);
  } catch (error) {
    if (!(error instanceof PeerGone || loop.failed)) {
      await refuse(loop, socket, refusalReason(error), signal);
    }
    throw error;
  }
}
