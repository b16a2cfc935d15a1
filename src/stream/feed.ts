// The sender around its connections, for both flows: opens the source, connects to each receiver, and retries when either
// is lost.
import { SysError } from "../../ffi/errno.ts";
import type { Figure } from "../cli/figures.ts";
import { FoldedLog } from "../cli/folded.ts";
import { log } from "../cli/log.ts";
import { service } from "../cli/service.ts";
import { type StatsOptions, StreamStats, type Summary } from "../cli/stats.ts";
import { Records } from "../cli/stdout.ts";
import {
  advised,
  failureFields,
  isExpected,
  PeerGone,
  ProtocolError,
  ReaderLeft,
  SourceEnded,
  UnavailableError,
} from "../errors.ts";
import type { Source } from "../frame/source.ts";
import type { Loop } from "../loop.ts";
import type { ConnectionRun, SendEnd } from "./connection.ts";
import { faultKind } from "./fault-kind.ts";
import type { Address } from "./socket/address.ts";
import { connect } from "./socket/connect.ts";
import { tuneSending } from "./socket/same-host.ts";
import { type Opened, openedFields, Supply } from "./supply.ts";

/** One connection, for the function that sends over it. */
export interface FeedRun extends ConnectionRun {
  /** End after that many frames, over all connections to this receiver. */
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
  /** The receivers. Each gets all frames that it has time for. */
  readonly addresses: readonly Address[];
  readonly connectTimeoutMs: number;
  readonly stallMs: number;
  readonly reconnect: boolean;
  /** Sends frames over one connection to `addresses[receiver]`. The source has been started. */
  readonly send: (opened: O, run: FeedRun, receiver: number) => Promise<SendEnd>;
  /** Called at the end of each receiver: lines and fields for its summary. */
  readonly summary?: (receiver: number) => Summary;
  /** What the tool adds to the figures of each receiver. */
  readonly figuresOf?: (receiver: number) => readonly Figure[];
}

/** A connection that lived this long took frames; after it the next attempt is early again. */
const ACCEPTED_MS = 2000;
const FIRST_RETRY_MS = 100;
/** A camera that is read on demand has the sender's picture within 2.5 s, so the wait is shorter. */
const LONGEST_RETRY_MS = 1000;

/**
 * Connects and sends to all receivers, again and again with --reconnect, until each had enough frames ("done") or `signal`
 * aborts ("stopped"). Throws what ended it otherwise. One of several receivers may fail: the others go on, and its error is
 * thrown at the end.
 */
export async function feedReceivers<O extends Opened>(
  loop: Loop,
  options: FeedOptions<O>,
  signal: AbortSignal,
): Promise<SendEnd> {
  const { addresses } = options;
  using supply = new Supply(loop, options.open, addresses.length);
  if (addresses.length === 1) return await feedReceiver(loop, options, supply, 0, signal);
  supply.take(0); // what cannot be opened at all is one error, not one for each receiver
  using records = options.json ? new Records() : undefined;
  const stop = new AbortController();
  const onAbort = () => stop.abort();
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  const failures: unknown[] = [];
  let active = addresses.length;
  const feedOne = async ({ text }: Address, receiver: number): Promise<SendEnd | undefined> => {
    try {
      const own = { ...options, records, whose: { role: "receiver", name: text } as const };
      return await feedReceiver(loop, own, supply, receiver, stop.signal);
    } catch (error) {
      failures.push(error);
      if (loop.failed || !concernsOne(error)) stop.abort();
      else if (active > 1) {
        const { message } = error as Error;
        const named = message.includes(text) ? message : `${text}: ${message}`;
        log.warn(`${named}; the others go on`);
      }
      return undefined;
    } finally {
      active -= 1;
    }
  };
  const ends = await Promise.all(addresses.map(feedOne));
  signal.removeEventListener("abort", onAbort);
  if (failures.length > 0) throw failures.find((error) => !concernsOne(error)) ?? failures[0];
  return ends.includes("stopped") ? "stopped" : "done";
}

/** Whether an error ends one receiver, not the source or this program. */
const concernsOne = (error: unknown): boolean =>
  isExpected(error) && !(error instanceof SourceEnded || error instanceof ReaderLeft);

/** The same for one receiver, `addresses[receiver]`. */
async function feedReceiver<O extends Opened>(
  loop: Loop,
  options: FeedOptions<O>,
  supply: Supply<O>,
  receiver: number,
  signal: AbortSignal,
): Promise<SendEnd> {
  const address = options.addresses[receiver];
  if (address === undefined) throw new RangeError(`receiver ${receiver} has no address`);
  let over = 0;
  const counters = () => {
    const { drops, errors } = supply.totals(receiver);
    return { drops: { source: drops, passed: over }, errors };
  };
  const figures = options.figuresOf?.(receiver);
  using stats = new StreamStats(loop, { ...options, figures }, counters);
  using folded = new FoldedLog();
  const finish = (reason: string) => {
    folded.flush();
    const { lines = [], fields = {} } = options.summary?.(receiver) ?? {};
    stats.finish(reason, lines, fields);
  };
  let reported: Source | undefined;
  const report = (source: Source) => {
    if (source === reported) return;
    reported = source;
    stats.record("started", { address: address.text, ...openedFields(source) });
  };
  const attempt = async (): Promise<SendEnd> => {
    report(supply.take(receiver).source);
    worked = true;
    stats.reportDoing(`connecting to ${address.text}`);
    service.ready();
    const { connectTimeoutMs, reconnect } = options;
    using socket = await connect(loop, address, connectTimeoutMs, reconnect, signal);
    if (socket === undefined) return "stopped";
    connectedMs = performance.now();
    folded.say("info", `connected to ${address.text}`);
    tuneSending(socket);
    const opened = supply.take(receiver); // it may have been closed and opened again meanwhile
    const { source } = opened;
    report(source);
    source.start();
    stats.streaming = true;
    stats.reportDoing(`sending to ${address.text}`);
    try {
      const passed = (frames: number) => {
        over += frames;
      };
      const { frames = Number.POSITIVE_INFINITY, stallMs } = options;
      const run = { loop, socket, frames, stats, passed, stallMs, signal };
      return await options.send(opened, run, receiver);
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
        if (error instanceof SourceEnded) supply.ended();
        if (!options.reconnect || loop.failed || !(worked && mayPass(error))) throw error;
        if (performance.now() - connectedMs >= ACCEPTED_MS) {
          retryMs = FIRST_RETRY_MS;
          folded.flush();
        }
        stats.record("failure", failureFields(error));
        const { message } = error as Error;
        const kind = faultKind(error, address.text);
        folded.say("warn", `${message}; trying again in ${retryMs} ms`, kind);
      }
      await loop.sleep(retryMs, signal);
      if (signal.aborted) {
        finish("stopped");
        return "stopped";
      }
      retryMs = Math.min(2 * retryMs, LONGEST_RETRY_MS);
    }
  } catch (error) {
    if (options.whose !== undefined) stats.record("failure", failureFields(error));
    if (worked) finish(error instanceof ReaderLeft ? "done" : "failed");
    throw error;
  }
}

/** Whether another attempt may succeed, after a source was open once: a lost peer, a camera that may come back. */
function mayPass(error: unknown): boolean {
  if (error instanceof SourceEnded) return error.mayReturn;
  const lost = [SysError, ProtocolError, UnavailableError];
  return lost.some((kind) => error instanceof kind);
}
