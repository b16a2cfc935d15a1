// The sender around its connections, for both flows: opens the source, connects, and retries when either is lost.
import { SysError } from "../../ffi/errno.ts";
import { FoldedLog } from "../cli/folded.ts";
import { log } from "../cli/log.ts";
import { type StatsOptions, StreamStats, type Summary } from "../cli/stats.ts";
import {
  advised,
  failureFields,
  PeerGone,
  ProtocolError,
  ReaderLeft,
  SourceEnded,
  UnavailableError,
} from "../errors.ts";
import { fourccName } from "../format/formats.ts";
import type { Source } from "../frame/source.ts";
import type { Loop } from "../loop.ts";
import type { ConnectionRun, SendEnd } from "./connection.ts";
import type { Address } from "./socket/address.ts";
import { connect } from "./socket/connect.ts";
import { tuneSending } from "./socket/same-host.ts";

/** What `FeedOptions.open` opened: a source, and with zero copy its exporter. */
export interface Opened {
  readonly source: Source;
}

/** One connection, for the function that sends over it. */
export interface FeedRun extends ConnectionRun {
  /** End after that many frames, over all connections. */
  readonly frames: number;
  readonly stats: StreamStats;
  /** Counts frames that were passed over. */
  readonly passed: (frames: number) => void;
  /** The connection ends when the receiver takes nothing for this long; 0: never. */
  readonly stallMs: number;
}

export interface FeedOptions<O extends Opened> extends StatsOptions {
  /** Opens the source. What has to be disposed with it belongs to `owned`. */
  readonly open: (owned: DisposableStack) => O;
  readonly address: Address;
  readonly connectTimeoutMs: number;
  readonly stallMs: number;
  readonly reconnect: boolean;
  /** Sends frames over one connection. The source has been started. */
  readonly send: (opened: O, run: FeedRun) => Promise<SendEnd>;
  /** Called at the end: lines and fields for the summary. */
  readonly summary?: () => Summary;
}

/** A connection that lived this long took frames; after it the next attempt is early again. */
const ACCEPTED_MS = 2000;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 2000;

/**
 * Connects and sends, again and again with --reconnect, until there were enough frames ("done") or `signal` aborts
 * ("stopped"). Throws what ended it otherwise.
 */
export async function feedReceiver<O extends Opened>(
  loop: Loop,
  options: FeedOptions<O>,
  signal: AbortSignal,
): Promise<SendEnd> {
  let held: { readonly opened: O; readonly owned: DisposableStack } | undefined;
  let drops = 0;
  let errors = 0;
  const counters = () => ({
    drops: drops + (held?.opened.source.drops ?? 0),
    errors: errors + (held?.opened.source.errors ?? 0),
  });
  const release = () => {
    ({ drops, errors } = counters());
    held?.owned.dispose();
    held = undefined;
  };
  using stats = new StreamStats(loop, options, counters);
  using folded = new FoldedLog();
  const finish = (reason: string) => {
    folded.flush();
    const { lines = [], fields = {} } = options.summary?.() ?? {};
    stats.finish(reason, lines, fields);
  };
  const attempt = async (): Promise<SendEnd> => {
    held ??= openAndReport(options, stats);
    const { opened } = held;
    const { source } = opened;
    const { address, connectTimeoutMs, reconnect } = options;
    using socket = await connect(loop, address, connectTimeoutMs, reconnect, signal);
    if (socket === undefined) return "stopped";
    connectedMs = performance.now();
    folded.say("info", `connected to ${options.address.text}`);
    tuneSending(socket);
    source.start();
    stats.streaming = true;
    try {
      const passed = (frames: number) => {
        drops += frames;
      };
      const { frames = Number.POSITIVE_INFINITY, stallMs } = options;
      return await options.send(opened, { loop, socket, frames, stats, passed, stallMs, signal });
    } catch (error) {
      // The text of a failed call does not mention the receiver; the others do.
      const failed = error instanceof PeerGone && error.code !== undefined;
      if (!failed || options.reconnect) throw error;
      throw advised(error, "the receiver has gone; --reconnect waits for its return");
    } finally {
      source.stop();
      stats.streaming = false;
    }
  };
  let retryMs = FIRST_RETRY_MS;
  let connectedMs = Number.POSITIVE_INFINITY;
  let worked = false;
  try {
    for (;;) {
      connectedMs = Number.POSITIVE_INFINITY;
      try {
        const end = await attempt();
        finish(end);
        return end;
      } catch (error) {
        worked ||= held !== undefined;
        if (error instanceof SourceEnded) release();
        if (!options.reconnect || loop.failed || !(worked && mayPass(error))) throw error;
        if (performance.now() - connectedMs >= ACCEPTED_MS) {
          retryMs = FIRST_RETRY_MS;
          folded.flush();
        }
        stats.record("failure", failureFields(error));
        const { message } = error as Error;
        folded.say("warn", `${message}; trying again in ${retryMs} ms`, message);
      }
      await loop.sleep(retryMs, signal);
      if (signal.aborted) {
        finish("stopped");
        return "stopped";
      }
      retryMs = Math.min(2 * retryMs, LONGEST_RETRY_MS);
    }
  } catch (error) {
    if (worked || held !== undefined) finish(error instanceof ReaderLeft ? "done" : "failed");
    throw error;
  } finally {
    release();
  }
}

/** Whether another attempt may succeed, after a source was open once: a lost peer, a camera that may come back. */
function mayPass(error: unknown): boolean {
  if (error instanceof SourceEnded) return error.mayReturn;
  const lost = [SysError, ProtocolError, UnavailableError];
  return lost.some((kind) => error instanceof kind);
}

function openAndReport<O extends Opened>(options: FeedOptions<O>, stats: StreamStats) {
  using owned = new DisposableStack();
  const opened = options.open(owned);
  const { source } = opened;
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
  return { opened, owned: owned.move() };
}
