// A receiver of several senders at a time: each has a number, with outputs and statistics of its own. What goes wrong with one
// of them does not concern the others.
import { counted } from "../cli/counted.ts";
import { streamFigures } from "../cli/figures.ts";
import { FoldedLog } from "../cli/folded.ts";
import { log } from "../cli/log.ts";
import { service } from "../cli/service.ts";
import { StreamStats, whoseText } from "../cli/stats.ts";
import { Records } from "../cli/stdout.ts";
import {
  failureFields,
  isExpected,
  OutputLost,
  type ProtocolError,
  ReaderLeft,
} from "../errors.ts";
import type { Loop } from "../loop.ts";
import { hostOf } from "../output/name-template.ts";
import type { Arrivals } from "./arrivals.ts";
import type { ReceiveEnd } from "./connection.ts";
import type { ConsumerOptions } from "./consumer.ts";
import { faultKind } from "./fault-kind.ts";
import { ListeningPlace } from "./listening-place.ts";
import type { SenderDestinations } from "./sender-destinations.ts";
import { SenderNumbers } from "./sender-numbers.ts";
import type { ServeOptions } from "./serve.ts";
import { type Counts, isPeersFault, type ServeRun, serveConnection } from "./serve-connection.ts";
import type { Peer } from "./socket/listener.ts";

/** How long one connection may keep the loop: the others wait meanwhile. */
const TURN_MS = 0.5;

export interface ServeSeveralOptions
  extends Omit<ServeOptions, "receive" | "demand" | "summary" | "figures"> {
  readonly senders: number;
  readonly destinations: SenderDestinations;
  /** Receives frames over one connection. */
  readonly receive: (run: ServeRun, consumer: ConsumerOptions) => Promise<ReceiveEnd>;
}

/**
 * Serves up to `senders` senders at a time. With --keep until `signal` aborts or each number had enough frames; without
 * until each number had one sender. Throws the first failure that was not a sender's, without --keep also a sender's.
 */
export async function serveSeveral(
  loop: Loop,
  options: ServeSeveralOptions,
  signal: AbortSignal,
): Promise<ReceiveEnd> {
  using records = options.json ? new Records() : undefined;
  using senders = new Senders(loop, options, records, signal);
  const stranger = (peer: Peer, error: ProtocolError) => senders.stranger(peer, error);
  using place = new ListeningPlace(loop, { ...options, stranger });
  if ((await place.open(signal)) !== undefined) await options.prepare?.(signal);
  const { arrivals } = place;
  if (arrivals === undefined) return "stopped";
  log.info(`listening on ${arrivals.name}, for ${counted(options.senders, "sender")} at a time`);
  records?.write({ record: "listening", address: arrivals.name, senders: options.senders });
  options.listening?.(arrivals.name);
  service.ready();
  return await senders.serve(arrivals);
}

/** One number, over all its connections. */
interface Slot {
  readonly number: number;
  readonly stats: StreamStats;
  readonly counts: Counts;
  finished: boolean;
}

class Senders implements Disposable {
  readonly #loop: Loop;
  readonly #options: ServeSeveralOptions;
  readonly #records: Records | undefined;
  readonly #signal: AbortSignal;
  readonly #numbers: SenderNumbers;
  readonly #slots: Slot[] = [];
  readonly #folded = new FoldedLog();
  readonly #failures: unknown[] = [];
  /** Aborts when no sender is served any more. */
  readonly #over = new AbortController();
  /** Called when a connection has ended. */
  #left: () => void = () => undefined;
  #active = 0;
  /** Connections that were no sender. */
  #strangers = 0;

  constructor(
    loop: Loop,
    options: ServeSeveralOptions,
    records: Records | undefined,
    signal: AbortSignal,
  ) {
    this.#loop = loop;
    this.#options = options;
    this.#records = records;
    this.#signal = signal;
    this.#numbers = new SenderNumbers(options.senders);
  }

  async serve(arrivals: Arrivals): Promise<ReceiveEnd> {
    const stop = () => this.#end();
    this.#signal.addEventListener("abort", stop, { once: true });
    if (this.#signal.aborted) stop();
    try {
      await this.#accept(arrivals);
    } catch (error) {
      this.#endWith(error);
    } finally {
      this.#signal.removeEventListener("abort", stop);
    }
    while (this.#active > 0) await this.#nextLeaves();
    return this.#result();
  }

  async #accept(arrivals: Arrivals): Promise<void> {
    const over = this.#over.signal;
    this.#reportDoing(arrivals);
    while (!over.aborted) {
      if (this.#numbers.someFree) {
        const peer = await arrivals.next(over);
        if (peer === undefined) return;
        this.#active += 1;
        const left = () => {
          this.#active -= 1;
          this.#reportDoing(arrivals);
          if (this.#numbers.allOver) this.#end();
          this.#left();
        };
        this.#serve(peer)
          .catch((error) => this.#endWith(error))
          .finally(left);
        this.#reportDoing(arrivals);
        continue;
      }
      // With --keep the next sender waits in the backlog until a number is free.
      const { keep, senders } = this.#options;
      using _others = keep
        ? undefined
        : arrivals.refuseOthers(`it serves ${counted(senders, "sender")}, and no more`);
      await this.#nextLeaves();
    }
  }

  /** A connection was no sender: it had no number. */
  stranger({ address: { name } }: Peer, error: ProtocolError): void {
    this.#strangers += 1;
    this.#records?.write({ record: "failure", ...failureFields(error) });
    this.#folded.say("warn", `${error.message}; waiting for senders`, faultKind(error, name));
  }

  /** Waits until a connection has ended, or all are to end. */
  async #nextLeaves(): Promise<void> {
    const { promise, resolve } = this.#loop.promise<void>();
    this.#left = resolve;
    await promise;
  }

  #end(): void {
    this.#over.abort();
    this.#left();
  }

  /** Ends all with an error of this program or its host. */
  #endWith(error: unknown): void {
    this.#failures.unshift(error);
    this.#end();
  }

  #reportDoing({ name }: Arrivals): void {
    const { senders } = this.#options;
    service.status(`listening on ${name}: ${this.#active} of ${counted(senders, "sender")}`);
  }

  #slot(number: number): Slot {
    const known = this.#slots.find((slot) => slot.number === number);
    if (known !== undefined) return known;
    const counts = { drops: 0, errors: 0 };
    const destination = this.#options.destinations.of(number);
    const stats = new StreamStats(
      this.#loop,
      {
        ...this.#options,
        records: this.#records,
        whose: { role: "sender", name: number },
        figures: [{ kind: streamFigures.leftOut, value: () => destination.leftOut }],
      },
      () => ({ drops: { sequence: counts.drops }, errors: counts.errors }),
    );
    const slot = { number, stats, counts, finished: false };
    this.#slots.push(slot);
    return slot;
  }

  /** Serves one connection, and decides what becomes of its number. */
  async #serve(peer: Peer): Promise<void> {
    const { name } = peer.address;
    const { number, again } = this.#numbers.give(hostOf(name), performance.now());
    const slot = this.#slot(number);
    const whose = { role: "sender", name: number } as const;
    const { keep, destinations, metrics } = this.#options;
    const isShown = () => this.#numbers.lowestTaken === number;
    const signal = this.#over.signal;
    const receive = async (run: ServeRun): Promise<ReceiveEnd> => {
      const host = hostOf(name);
      try {
        await destinations.openFiles(number, { host, again, fps: slot.stats.fps }, signal);
      } catch (error) {
        if (!isExpected(error) || error instanceof ReaderLeft) throw error;
        throw new OutputLost(error.message, { cause: error }); // not the sender's fault
      }
      return await this.#options.receive(run, destinations.of(number).consumer);
    };
    const each = {
      ...this.#options,
      whose,
      receive,
      turnMs: TURN_MS,
      pictures: metrics && {
        get wanted() {
          return metrics.wanted && isShown();
        },
        take: metrics.take.bind(metrics),
      },
    };
    const goesOn = () => keep && !signal.aborted;
    try {
      const end = await serveConnection(this.#loop, peer, each, slot.stats, slot.counts, signal);
      if (end === "closed") log.info(`${whoseText(whose)}${name} has gone`);
      if (end === "closed" && goesOn()) this.#numbers.release(number, performance.now());
      else this.#finish(slot, end === "stopped" ? "stopped" : "done");
    } catch (error) {
      this.#failed(slot, peer, error);
    } finally {
      slot.stats.streaming = false;
    }
  }

  #failed(slot: Slot, { address: { name } }: Peer, error: unknown): void {
    const { number, stats, counts } = slot;
    const whose = whoseText({ role: "sender", name: number });
    const { message } = error as Error;
    stats.record("failure", failureFields(error));
    if (this.#loop.failed || !isExpected(error) || this.#records?.broken === true) throw error;
    const key = whose + faultKind(error, name);
    if (isPeersFault(error)) {
      counts.errors += 1;
      if (this.#options.keep && !this.#over.signal.aborted) {
        this.#folded.say("warn", `${whose}${message}; waiting for the next sender`, key);
        this.#numbers.release(number, performance.now());
        return;
      }
    }
    if (error instanceof ReaderLeft) log.info(`${whose}${message}`);
    else {
      this.#failures.push(error);
      const others = this.#active > 1 || this.#numbers.someFree;
      if (others) log.warn(`${whose}${message}; the other senders go on`);
    }
    this.#finish(slot, error instanceof ReaderLeft ? "done" : "failed");
  }

  /** The number is not served any more: says what it had. */
  #finish(slot: Slot, reason: string): void {
    if (slot.finished) return;
    slot.finished = true;
    slot.stats.streaming = false;
    this.#numbers.end(slot.number);
    try {
      const { lines, fields } = this.#options.destinations.of(slot.number).summary(slot.stats);
      slot.stats.finish(reason, lines, fields);
    } catch (error) {
      this.#failures.push(error); // a file cannot be closed, or the reader of the records has gone
    }
  }

  #result(): ReceiveEnd {
    const stopped = this.#signal.aborted;
    for (const slot of this.#slots) this.#finish(slot, stopped ? "stopped" : "done");
    this.#folded.flush();
    const failed = this.#failures.length > 0;
    this.#sayTotal(failed ? "failed" : stopped ? "stopped" : "done");
    if (failed) throw this.#failures[0];
    return stopped ? "stopped" : "enough";
  }

  /** The last line: all senders together. */
  #sayTotal(reason: string): void {
    let [frames, bytes, drops, errors] = [0, 0, 0, this.#strangers];
    for (const { stats, counts } of this.#slots) {
      frames += stats.frames;
      bytes += stats.bytes;
      drops += counts.drops;
      errors += counts.errors;
    }
    const senders = this.#slots.length;
    this.#records?.write({ record: "stopped", reason, senders, frames, bytes, drops, errors });
    this.#records?.flush();
    if (this.#records !== undefined) return;
    log.info(
      `${reason}: ${counted(senders, "sender")}, ${counted(frames, "frame")}, ${counted(bytes, "byte")}, ${drops} dropped, ${errors} damaged`,
    );
  }

  [Symbol.dispose](): void {
    this.#folded[Symbol.dispose]();
    for (const { stats } of this.#slots) stats[Symbol.dispose]();
  }
}
