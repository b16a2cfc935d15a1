// The sender: a source, a connection, and what to do when either is lost.
import { SysError } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import { log } from "../cli/log.ts";
import { type StatsOptions, StreamStats, type Summary } from "../cli/stats.ts";
import { advised, PeerGone, ProtocolError, SourceEnded, UnavailableError } from "../errors.ts";
import { fourccName } from "../format/formats.ts";
import type { Source } from "../frame/source.ts";
import type { Loop } from "../loop.ts";
import type { SendEnd } from "./connection.ts";
import { sendFrames } from "./copy/send.ts";
import type { Address } from "./socket/address.ts";
import { connect } from "./socket/connect.ts";
import { tuneSending } from "./socket/same-host.ts";

/** Serves one connection with a source that has been started. */
export type Transmit<S extends Source> = (
  loop: Loop,
  socket: Fd,
  source: S,
  run: {
    readonly frames: number;
    readonly stats: StreamStats;
    /** Told of frames that were passed over. */
    readonly passed: (frames: number) => void;
  },
  signal: AbortSignal,
) => Promise<SendEnd>;

export interface FeedOptions<S extends Source> extends StatsOptions {
  readonly openSource: () => S;
  readonly address: Address;
  readonly connectTimeoutMs: number;
  readonly reconnect: boolean;
  readonly transmit: Transmit<S>;
  /** Lines and fields for the summary, asked for at the end. */
  readonly summary?: () => Summary;
}

export interface SenderOptions extends Omit<FeedOptions<Source>, "transmit"> {
  readonly latest: boolean;
  readonly stallMs?: number;
}

const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 2000;

/** Sends frames with their bytes: the copy flow. Ends as `feedReceiver` does. */
export function runSender(
  loop: Loop,
  options: SenderOptions,
  signal: AbortSignal,
): Promise<SendEnd> {
  const { latest, stallMs = 10_000 } = options;
  const send: Transmit<Source> = (on, socket, source, run, stop) =>
    sendFrames(on, socket, source, { ...run, latest, stallMs }, stop);
  return feedReceiver(loop, { ...options, transmit: send }, signal);
}

/** Sends until there were enough frames or `signal` aborts; which of the two. Throws what ended it otherwise. */
export async function feedReceiver<S extends Source>(
  loop: Loop,
  options: FeedOptions<S>,
  signal: AbortSignal,
): Promise<SendEnd> {
  const held: { source?: S } = {};
  let drops = 0;
  let errors = 0;
  const counters = () => ({
    drops: drops + (held.source?.drops ?? 0),
    errors: errors + (held.source?.errors ?? 0),
  });
  const letGo = () => {
    drops += held.source?.drops ?? 0;
    errors += held.source?.errors ?? 0;
    held.source?.[Symbol.dispose]();
    delete held.source;
  };
  using stats = new StreamStats(loop, options, counters);
  const finish = (reason: string) => {
    const { lines = [], fields = {} } = options.summary?.() ?? {};
    stats.finish(reason, lines, fields);
  };
  const attempt = async (): Promise<SendEnd> => {
    held.source ??= openAndReport(options, stats);
    const { source } = held;
    using socket = await connect(loop, options.address, options.connectTimeoutMs, signal);
    if (socket === undefined) return "stopped";
    log.info(`connected to ${options.address.text}`);
    tuneSending(socket);
    source.start();
    stats.streaming = true;
    try {
      const passed = (frames: number) => {
        drops += frames;
      };
      const { frames = Number.POSITIVE_INFINITY } = options;
      return await options.transmit(loop, socket, source, { frames, stats, passed }, signal);
    } catch (error) {
      // A failed call says nothing of the receiver; the other errors do.
      const failed = error instanceof PeerGone && error.code !== undefined;
      if (!failed || options.reconnect) throw error;
      throw advised(error, "the receiver has gone; --reconnect waits for its return");
    } finally {
      source.stop();
      stats.streaming = false;
    }
  };
  let retryMs = FIRST_RETRY_MS;
  let opened = false;
  try {
    for (;;) {
      const before = stats.frames;
      try {
        const end = await attempt();
        finish(end);
        return end;
      } catch (error) {
        opened ||= held.source !== undefined;
        if (error instanceof SourceEnded) letGo();
        if (!options.reconnect || !(opened && mayPass(error))) throw error;
        if (stats.frames > before) retryMs = FIRST_RETRY_MS;
        log.warn(`${(error as Error).message}; trying again in ${retryMs} ms`);
      }
      await loop.sleep(retryMs, signal);
      if (signal.aborted) {
        finish("stopped");
        return "stopped";
      }
      retryMs = Math.min(2 * retryMs, LONGEST_RETRY_MS);
    }
  } catch (error) {
    if (opened || held.source !== undefined) finish("failed");
    throw error;
  } finally {
    letGo();
  }
}

/** Whether trying again may help, once it has worked: a lost peer, a camera that may come back. */
function mayPass(error: unknown): boolean {
  if (error instanceof SourceEnded) return error.mayReturn;
  const lost = [SysError, ProtocolError, UnavailableError];
  return lost.some((kind) => error instanceof kind);
}

function openAndReport<S extends Source>(options: FeedOptions<S>, stats: StreamStats): S {
  const source = options.openSource();
  const { width, height, pixelformat, sizeimage } = source.picture;
  const format = fourccName(pixelformat);
  const rate = source.fps === undefined ? "" : ` at ${Number(source.fps.toFixed(3))} fps`;
  const buffers = source.frames.length;
  log.info(
    `${source.name}: ${width}x${height} ${format}${rate}, ${sizeimage} bytes a frame, ${buffers} ${source.memory} buffers`,
  );
  stats.record("started", {
    device: source.name,
    address: options.address.text,
    width,
    height,
    format,
    sizeimage,
    buffers,
    memory: source.memory,
    ...(source.fps !== undefined && { fps: source.fps }),
  });
  return source;
}
