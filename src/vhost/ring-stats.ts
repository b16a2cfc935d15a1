// Statistics of a back-end: requests, answers and interrupts, per interval and at the end.
import { counted } from "../cli/counted.ts";
import type { FigureSink } from "../cli/figures.ts";
import { log } from "../cli/log.ts";
import { service } from "../cli/service.ts";
import type { RecordKind } from "../cli/stats.ts";
import { Records } from "../cli/stdout.ts";
import type { Loop } from "../loop.ts";
import {
  counterNames,
  countsOf,
  eachFrontEndFigures,
  frontEndFigure,
  noCounts,
  type QueueCounts,
  ringFigures,
} from "./counts.ts";

export interface RingStatsOptions {
  /** Seconds between two lines; 0: only the summary. */
  readonly stats: number;
  /** JSON records on stdout. */
  readonly json: boolean;
  /** Where the figures are published with --metrics. */
  readonly metrics?: FigureSink | undefined;
}

export class RingStats implements Disposable {
  readonly #options: RingStatsOptions;
  readonly #startedMs = performance.now();
  readonly #timer: Disposable | undefined;
  readonly #records: Records | undefined;
  #frontEnds = 0;
  /** Sum over the front-ends that have left. */
  #before = noCounts();
  #now: Readonly<QueueCounts> = this.#before;
  #shown = 0;
  /** Where it listens. */
  #place = "";

  /** `started` are the fields of the `started` record. */
  constructor(loop: Loop, options: RingStatsOptions, started: Readonly<Record<string, unknown>>) {
    this.#options = options;
    this.#records = options.json ? new Records() : undefined;
    if (options.stats > 0) this.#timer = loop.every(options.stats * 1000, () => this.#interval());
    options.metrics?.publish([
      { kind: frontEndFigure, value: () => this.#frontEnds },
      ...counterNames.map((name) => ({
        kind: ringFigures[name],
        value: () => this.#before[name] + this.#now[name],
      })),
    ]);
    this.#record("started", started);
  }

  /** Records that front-ends can connect now. */
  listening(address: string): void {
    this.#place = address;
    this.#record("listening", { address });
  }

  /** The next front-end is waited for. */
  waiting(): void {
    service.status(`listening on ${this.#place}`);
    service.ready();
  }

  /** Records a failure after which the tool goes on. */
  failure(fields: Readonly<Record<string, unknown>>): void {
    this.#record("failure", fields);
  }

  /**
   * Counts a new front-end; `counts` is read until the next one comes. Its own figures are shown until what is returned is
   * disposed.
   */
  follow(counts: Readonly<QueueCounts>): Disposable {
    this.#before = this.#totals();
    this.#now = counts;
    this.#frontEnds += 1;
    service.status(`serving front-end ${this.#frontEnds}`);
    const own = counterNames.map((name) => ({
      kind: eachFrontEndFigures[name],
      value: () => counts[name],
    }));
    const front_end = String(this.#frontEnds);
    const published = this.#options.metrics?.publish(own, { front_end });
    return { [Symbol.dispose]: () => published?.withdraw() };
  }

  #totals(): QueueCounts {
    return countsOf((name) => this.#before[name] + this.#now[name]);
  }

  #interval(): void {
    const totals = this.#totals();
    const rate = (totals.requests - this.#shown) / this.#options.stats;
    this.#shown = totals.requests;
    service.status(`${rate.toFixed(1)} requests/s, ${text(totals)}`);
    this.#record("stats", { requests_per_second: Math.round(rate) });
    if (!this.#options.json) log.info(`${rate.toFixed(1)} requests/s, ${text(totals)}`);
  }

  #record(kind: RecordKind, fields: Record<string, unknown>): void {
    if (this.#records === undefined) return;
    const seconds = Math.round(performance.now() - this.#startedMs) / 1000;
    const record = { record: kind, seconds, front_ends: this.#frontEnds, ...this.#totals() };
    this.#records.write({ ...record, ...fields });
  }

  /** Logs the summary, or writes the `stopped` record. */
  finish(): void {
    this.#record("stopped", {});
    this.#records?.flush();
    if (!this.#options.json)
      log.info(`${counted(this.#frontEnds, "front-end")}, ${text(this.#totals())}`);
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#records?.[Symbol.dispose]();
  }
}

const text = ({ requests, answers, interrupts, malformed, refused }: QueueCounts) =>
  [
    counted(requests, "request"),
    counted(answers, "answer"),
    counted(interrupts, "interrupt"),
    `${malformed} malformed`,
    `${refused} refused`,
  ].join(", ");
