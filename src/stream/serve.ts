// The receiver around its connections, for both flows: listens, serves one sender after the other, and with --keep goes on
// after a sender that was wrong. A connection that is no sender ends it in no case.
import type { FigureSink } from "../cli/figures.ts";
import { FoldedLog } from "../cli/folded.ts";
import { log } from "../cli/log.ts";
import { service } from "../cli/service.ts";
import { type StatsOptions, StreamStats, type Summary } from "../cli/stats.ts";
import { failureFields, ReaderLeft } from "../errors.ts";
import type { PictureSink } from "../frame/picture-sink.ts";
import type { Loop } from "../loop.ts";
import type { Arrivals } from "./arrivals.ts";
import type { ReceiveEnd } from "./connection.ts";
import type { Demand } from "./demand.ts";
import { faultKind } from "./fault-kind.ts";
import { ListeningPlace } from "./listening-place.ts";
import { isPeersFault, type ServeRun, serveConnection } from "./serve-connection.ts";
import type { Address } from "./socket/address.ts";
import type { Peer } from "./socket/listener.ts";

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
  const { demand, metrics: pictures } = options;
  using folded = new FoldedLog();
  const failed = (peer: Peer, error: unknown) => {
    counts.errors += 1;
    stats.record("failure", failureFields(error));
    const { message } = error as Error;
    const { name } = peer.address;
    folded.say("warn", `${message}; waiting for the next sender`, faultKind(error, name));
  };
  using place = new ListeningPlace(loop, { ...options, stranger: failed });
  if ((await place.open(signal)) !== undefined) await options.prepare?.(signal);
  if (demand === undefined) announce(place.arrivals, options, stats);
  else place.close();
  if (place.arrivals !== undefined || demand !== undefined) service.ready();
  const each = { ...options, pictures };
  const finish = (reason: string) => {
    folded.flush();
    const { lines = [], fields = {} } = options.summary?.(stats) ?? {};
    stats.finish(reason, lines, fields);
  };
  try {
    for (;;) {
      if (demand !== undefined) stats.reportDoing("waiting for a program that reads the camera");
      const wanted = (await demand?.begins(signal)) ?? signal;
      if (place.arrivals === undefined && !signal.aborted)
        announce(await place.open(wanted), options, stats);
      const { arrivals } = place;
      if (arrivals !== undefined) stats.reportDoing(`listening on ${arrivals.name}`);
      const peer = await arrivals?.next(wanted);
      if (peer === undefined) {
        if (demand !== undefined && !signal.aborted) {
          place.close();
          continue;
        }
        finish("stopped");
        return "stopped";
      }
      try {
        using _others = options.keep ? undefined : arrivals?.refuseOthers(BUSY);
        const end = await serveConnection(loop, peer, each, stats, counts, wanted);
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
        failed(peer, error);
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
  arrivals: Arrivals | undefined,
  options: Pick<ServeOptions, "listening">,
  stats: StreamStats,
): void {
  if (arrivals === undefined) return;
  log.info(`listening on ${arrivals.name}`);
  stats.record("listening", { address: arrivals.name });
  options.listening?.(arrivals.name);
}
