// The receiver around its connections, for both flows: listens, serves one sender after the other, and with --keep goes on
// after a sender that was wrong.
import { V4L2_BUF_FLAG_ERROR } from "../../ffi/linux/videodev2.ts";
import { counted } from "../cli/counted.ts";
import type { FigureSink } from "../cli/figures.ts";
import { FoldedLog } from "../cli/folded.ts";
import { log } from "../cli/log.ts";
import { service } from "../cli/service.ts";
import {
  addLatency,
  type StatsOptions,
  StreamStats,
  type Summary,
  stampedUs,
} from "../cli/stats.ts";
import { failureFields, PeerGone, ProtocolError, ReaderLeft, UnavailableError } from "../errors.ts";
import { fourccName } from "../format/formats.ts";
import { wholeBytes } from "../format/picture-layout.ts";
import type { CaptureTime, FrameFacts, StreamInfo } from "../frame/frame.ts";
import type { PictureSink } from "../frame/picture-sink.ts";
import type { Loop } from "../loop.ts";
import type { ConnectionRun, ReceiveEnd } from "./connection.ts";
import type { Demand } from "./demand.ts";
import { faultKind } from "./fault-kind.ts";
import { refuse } from "./refusal.ts";
import type { Address } from "./socket/address.ts";
import { type Listener, ListeningPlace, type Peer } from "./socket/listener.ts";
import { isSameHost } from "./socket/same-host.ts";

/** One connection, for the function that receives over it. */
export interface ServeRun extends ConnectionRun {
  /** The connection ends when the sender is silent for this long in the middle of a message; 0: never. */
  readonly stallMs: number;
  /** Called when the stream is accepted. Returns false when no frame of it is wanted. */
  readonly started: (stream: StreamInfo) => boolean | undefined;
  /** Called for each frame that was taken; returns whether more are wanted. */
  readonly taken: (frame: FrameFacts) => boolean;
  readonly captureTime: CaptureTime;
  /** Takes copies of pictures, when somebody looks. */
  readonly pictures?: PictureSink | undefined;
}

export interface ServeOptions extends StatsOptions {
  readonly address: Address;
  readonly allowed: (peer: string) => boolean;
  readonly keep: boolean;
  readonly stallMs: number;
  /** Receives frames over one connection. */
  readonly receive: (run: ServeRun) => Promise<ReceiveEnd>;
  /**
   * Called after bind and before "listening" is logged. Opens outputs here, so that a failed bind leaves existing
   * files alone.
   */
  readonly prepare?: (signal: AbortSignal) => Promise<void>;
  readonly metrics?: (FigureSink & PictureSink) | undefined;
  /** Listen only while frames are wanted. */
  readonly demand?: Demand | undefined;
  /** Called with the address it listens on. */
  readonly listening?: (name: string) => void;
  /** Called at the end: lines and fields for the summary. */
  readonly summary?: (stats: StreamStats) => Summary;
}

/** The refusal that another sender receives while one is served. */
const BUSY = "it is busy with another sender";

/**
 * Serves until the sender has left (without --keep), there were enough frames, or `signal` aborts. Throws what ended it
 * otherwise.
 */
export async function serveSenders(
  loop: Loop,
  options: ServeOptions,
  signal: AbortSignal,
): Promise<ReceiveEnd> {
  const counts = { drops: 0, errors: 0 };
  using stats = new StreamStats(loop, options, () => ({
    drops: { sequence: counts.drops },
    errors: counts.errors,
  }));
  const { demand } = options;
  using place = new ListeningPlace(loop, options.address, options.allowed);
  if ((await place.open(signal)) !== undefined) await options.prepare?.(signal);
  if (demand === undefined) announce(place.listener, options, stats);
  else place.close();
  if (place.listener !== undefined || demand !== undefined) service.ready();
  using folded = new FoldedLog();
  const finish = (reason: string) => {
    folded.flush();
    const { lines = [], fields = {} } = options.summary?.(stats) ?? {};
    stats.finish(reason, lines, fields);
  };
  try {
    for (;;) {
      if (demand !== undefined) stats.reportDoing("waiting for a program that reads the camera");
      const wanted = (await demand?.begins(signal)) ?? signal;
      if (place.listener === undefined && !signal.aborted)
        announce(await place.open(wanted), options, stats);
      const { listener } = place;
      if (listener !== undefined) stats.reportDoing(`listening on ${listener.name}`);
      const peer = await listener?.next(wanted);
      if (peer === undefined) {
        if (demand !== undefined && !signal.aborted) {
          place.close();
          continue;
        }
        finish("stopped");
        return "stopped";
      }
      try {
        using _others = options.keep ? undefined : listener?.refuseOthers(BUSY);
        const end = await serve(loop, peer, options, stats, counts, wanted);
        if (end === "stopped" && !signal.aborted) {
          log.info("no program reads the camera: not listening until one does");
          place.close();
          continue;
        }
        if (end === "closed") log.info(`${peer.address.name} has gone`);
        if (end !== "closed" || !options.keep) {
          finish(end === "stopped" ? "stopped" : "done");
          return end;
        }
      } catch (error) {
        if (!options.keep || !isPeersFault(error)) throw error;
        counts.errors += 1;
        stats.record("failure", failureFields(error));
        const { message } = error as Error;
        const { name } = peer.address;
        folded.say("warn", `${message}; waiting for the next sender`, faultKind(error, name));
      } finally {
        stats.streaming = false;
      }
    }
  } catch (error) {
    finish(error instanceof ReaderLeft ? "done" : "failed");
    throw error;
  }
}

function announce(
  listener: Listener | undefined,
  options: Pick<ServeOptions, "listening">,
  stats: StreamStats,
): void {
  if (listener === undefined) return;
  log.info(`listening on ${listener.name}`);
  stats.record("listening", { address: listener.name });
  options.listening?.(listener.name);
}

/** A sender that is gone or wrong, or whose buffers this host cannot map: the next one may do better. A full disk is ours. */
function isPeersFault(error: unknown): boolean {
  return error instanceof ProtocolError || error instanceof UnavailableError;
}

function refusalReason(error: unknown): string {
  if (error instanceof ReaderLeft) return "the program that read its frames has ended";
  return isPeersFault(error) ? (error as Error).message : "it has failed";
}

async function serve(
  loop: Loop,
  peer: Peer,
  options: ServeOptions,
  stats: StreamStats,
  counts: { drops: number; errors: number },
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
      `${peer.address.name} sends ${width}x${height} ${format}, ${sizeimage} bytes a frame, ${counted(bufferCount, "buffer")}`,
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
  const { stallMs, metrics: pictures } = options;
  const run = { loop, socket, stallMs, started, taken, captureTime, pictures, signal };
  try {
    return await options.receive(run);
  } catch (error) {
    if (!(error instanceof PeerGone || loop.failed)) {
      await refuse(loop, socket, refusalReason(error), signal);
    }
    throw error;
  }
}
