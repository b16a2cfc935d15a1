// Statistics of a running stream: a line per interval and a summary on stderr, or JSON records on stdout.
import { monotonicUs } from "../../ffi/clock.ts";
import {
  V4L2_BUF_FLAG_TIMESTAMP_MASK,
  V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC,
} from "../../ffi/linux/videodev2.ts";
import type { Loop } from "../loop.ts";
import { counted } from "./counted.ts";
import {
  type DropCause,
  type Drops,
  type Figure,
  type FigureSink,
  type Published,
  streamFigures,
} from "./figures.ts";
import { Histogram } from "./histogram.ts";
import { log } from "./log.ts";
import { useShortSlices } from "./realtime.ts";
import { service } from "./service.ts";
import { streamBegins } from "./start-pages.ts";
import { Records } from "./stdout.ts";
import { progress, StreamTime } from "./stream-time.ts";
import { endStatus, onTerminal, showStatus } from "./terminal.ts";

export interface StatsOptions {
  /** Seconds between two lines; 0 means only the summary. */
  readonly stats: number;
  /** Write JSON records to stdout instead of lines to stderr. */
  readonly json: boolean;
  /** Frames after which the stream ends, for the progress bar. */
  readonly frames?: number | undefined;
  /** Whose stream it is, where one tool has several: named in each line, record and figure. */
  readonly whose?: StreamOwner | undefined;
  /** Where records are written, if several streams share stdout. Without it --json opens one. */
  readonly records?: Records | undefined;
  /** Records latency. Receivers that know the exact arrival time pass their own and add to it. */
  readonly latency?: Histogram | undefined;
  /** Where the figures are published with --metrics. */
  readonly metrics?: FigureSink | undefined;
  /** What a tool adds to the published figures. */
  readonly figures?: readonly Figure[] | undefined;
}

/** The peer of one of several streams. */
export interface StreamOwner {
  /** The field of records and the label of figures. */
  readonly role: "receiver" | "sender";
  /** A receiver's address, a sender's number. */
  readonly name: string | number;
}

/** The start of each line about one of several streams: "unix:/tmp/a: ", "sender 2: ". */
export const whoseText = (whose: StreamOwner | undefined): string =>
  whose === undefined ? "" : `${whose.role === "sender" ? "sender " : ""}${whose.name}: `;

/** What a tool adds to the summary: lines for people, fields for programs. */
export interface Summary {
  readonly lines: readonly string[];
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Joins two summaries. */
export const joined = (first: Summary, second: Summary): Summary => ({
  lines: [...first.lines, ...second.lines],
  fields: { ...first.fields, ...second.fields },
});

/** Returns totals that are counted elsewhere. Called when a line is due. */
export type Counters = () => { readonly drops: Drops; readonly errors: number };

const sum = (drops: Drops) => Object.values(drops).reduce((all, frames) => all + frames, 0);

/** Kinds of JSON records. "failure" is written for every error, also for those after which the tool goes on. */
export type RecordKind = "listening" | "started" | "stats" | "failure" | "stopped";

/** After so many frames of a stream its pace is known. */
const PACE_FRAMES = 64;
/** No camera is faster: such frames come as fast as they are taken. */
const FASTEST_FPS = 250;

export class StreamStats implements Disposable {
  frames = 0;
  bytes = 0;
  /** Frames shorter than the stream's sizeimage. */
  short = 0;
  /** Connections on which a stream began, and failures after which the tool went on. */
  connections = 0;
  failures = 0;
  readonly latency: Histogram;
  readonly #options: StatsOptions;
  readonly #counters: Counters;
  readonly #loop: Loop;
  /** Of the lines, while a peer is connected. */
  #timer: Disposable | undefined;
  readonly #records: Records | undefined;
  readonly #ownRecords: Records | undefined;
  readonly #published: Published | undefined;
  readonly #whose: string;
  readonly #time = new StreamTime();
  /** What the stream does, for the service manager. */
  #doing = "";
  /** The number of frames at which the pace of this stream is known. */
  #judgedAt = 0;
  #lastSeconds = 0;
  #lastFrames = 0;
  #lastBytes = 0;
  #finished = false;

  constructor(loop: Loop, options: StatsOptions, counters: Counters) {
    this.#loop = loop;
    this.#options = options;
    this.latency = options.latency ?? new Histogram();
    this.#counters = counters;
    this.#ownRecords = options.json && options.records === undefined ? new Records() : undefined;
    this.#records = options.records ?? this.#ownRecords;
    this.#whose = whoseText(options.whose);
    const { whose, metrics, figures = [] } = options;
    const labels = whose === undefined ? {} : { [whose.role]: `${whose.name}` };
    this.#published = metrics?.publish([...this.#figures(), ...figures], labels);
  }

  /** Of --metrics. Their causes of drops are those that are counted now. */
  #figures(): Figure[] {
    const kinds = streamFigures;
    const causes = Object.keys(this.#counters().drops) as DropCause[];
    return [
      { kind: kinds.frames, value: () => this.frames },
      { kind: kinds.bytes, value: () => this.bytes },
      ...causes.map((cause) => ({
        kind: kinds.drops,
        labels: { cause },
        value: () => this.#counters().drops[cause] ?? 0,
      })),
      { kind: kinds.errors, value: () => this.#counters().errors },
      { kind: kinds.short, value: () => this.short },
      { kind: kinds.connections, value: () => this.connections },
      { kind: kinds.failures, value: () => this.failures },
      { kind: kinds.streaming, value: () => Number(this.streaming) },
      { kind: kinds.seconds, value: () => this.#time.seconds },
      { kind: kinds.latency, value: this.latency },
    ];
  }

  /** Whether a peer is connected. Time without one is no part of any rate. */
  get streaming(): boolean {
    return this.#time.streaming;
  }

  set streaming(on: boolean) {
    if (on && !this.streaming) this.connections += 1;
    const { stats } = this.#options;
    if (on !== this.streaming) {
      this.#timer?.[Symbol.dispose]();
      if (on) this.#begin();
      if (on && stats > 0) this.#timer = this.#loop.every(stats * 1000, () => this.#interval());
    }
    this.#time.streaming = on;
    this.#published?.update();
  }

  /** Reports what the stream does now, "receiving 640x480 YUYV from 10.0.0.2:40000", to the service manager. */
  reportDoing(what: string): void {
    this.#doing = what;
    service.status(this.#whose + what, this.#whose);
  }

  /** Counts one frame of `bytes` bytes. */
  frame(bytes: number): void {
    this.#time.frame();
    this.frames += 1;
    this.bytes += bytes;
    if (this.frames === this.#judgedAt)
      useShortSlices(this.#time.streamFps(PACE_FRAMES) <= FASTEST_FPS);
  }

  #begin(): void {
    streamBegins();
    useShortSlices(true);
    this.#judgedAt = this.frames + PACE_FRAMES;
  }

  /** Takes back frames that were counted and did not reach their receiver. */
  takeBack(frames: number, bytes: number): void {
    this.frames -= frames;
    this.bytes -= bytes;
    this.#lastFrames = Math.min(this.#lastFrames, this.frames);
    this.#lastBytes = Math.min(this.#lastBytes, this.bytes);
  }

  /** Average frames per second while there was a stream, first frame to last. */
  get fps(): number {
    return this.#time.fps(this.frames);
  }

  /** Writes one line of JSON to stdout with --json; does nothing without. */
  record(kind: RecordKind, fields: Record<string, unknown>): void {
    const { whose } = this.#options;
    if (kind === "failure") this.failures += 1;
    const owner = whose === undefined ? {} : { [whose.role]: whose.name };
    this.#records?.write({ record: kind, ...owner, ...fields });
  }

  #interval(): void {
    const all = this.#time.seconds;
    const seconds = all - this.#lastSeconds;
    const frames = this.frames - this.#lastFrames;
    const bytes = this.bytes - this.#lastBytes;
    this.#lastSeconds = all;
    this.#lastFrames = this.frames;
    this.#lastBytes = this.bytes;
    if (!this.streaming || seconds <= 0) return;
    const { drops: byCause, errors } = this.#counters();
    const drops = sum(byCause);
    const fps = frames / seconds;
    this.record("stats", {
      seconds: round(seconds),
      frames: this.frames,
      bytes: this.bytes,
      fps: round(fps),
      bytes_per_second: Math.round(bytes / seconds),
      drops,
      errors,
      ...this.#latencyFields(),
    });
    const parts = [
      `${fps.toFixed(1)} fps`,
      `${(bytes / seconds / 1e6).toFixed(1)} MB/s`,
      `${drops} dropped`,
      `${errors} damaged`,
      ...this.#latencyText(),
    ];
    const count = counted(this.frames, "frame");
    service.status(`${this.#whose}${this.#doing}: ${[count, ...parts].join(", ")}`, this.#whose);
    if (this.#options.json) return;
    const { frames: total } = this.#options;
    // The status line has room for one stream.
    if (!onTerminal || this.#whose !== "") log.info(this.#whose + [count, ...parts].join(", "));
    else if (total === undefined) showStatus([count, ...parts]);
    else showStatus([...progress(this.frames, total, this.fps), ...parts]);
  }

  #latencyFields(): Record<string, number> {
    const at = (percent: number) => this.latency.percentileMs(percent);
    const [p50, p95, p99, max] = [at(50), at(95), at(99), this.latency.longestMs];
    if (p50 === undefined || p95 === undefined || p99 === undefined || max === undefined) return {};
    return {
      latency_p50_ms: round(p50),
      latency_p95_ms: round(p95),
      latency_p99_ms: round(p99),
      latency_max_ms: round(max),
    };
  }

  #latencyText(): string[] {
    const p50 = this.latency.percentileMs(50);
    const p99 = this.latency.percentileMs(99);
    if (p50 === undefined || p99 === undefined) return [];
    return [`latency p50 ${p50.toFixed(2)} ms p99 ${p99.toFixed(2)} ms`];
  }

  /**
   * Logs the summary and then the `extra` lines. With --json writes the `stopped` record instead, and logs only if that
   * cannot be written. Throws what the write throws. Does nothing when it is called again, for that error.
   */
  finish(
    reason: string,
    extra: readonly string[] = [],
    fields: Record<string, unknown> = {},
  ): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#published?.[Symbol.dispose]();
    endStatus();
    const { seconds } = this.#time;
    const { drops: byCause, errors } = this.#counters();
    const drops = sum(byCause);
    try {
      this.record("stopped", {
        reason,
        seconds: round(seconds),
        frames: this.frames,
        bytes: this.bytes,
        fps: round(this.fps),
        drops,
        errors,
        short: this.short,
        ...this.#latencyFields(),
        ...fields,
      });
      this.#records?.flush();
    } finally {
      if (this.#records?.broken !== false) {
        const rate = `${counted(this.bytes, "byte")} in ${seconds.toFixed(2)} s (${this.fps.toFixed(1)} fps)`;
        const counts = [
          counted(this.frames, "frame"),
          rate,
          `${drops} dropped`,
          `${errors} damaged`,
        ];
        if (this.short > 0) counts.push(`${this.short} short`);
        log.info(`${this.#whose}${reason}: ${[...counts, ...this.#latencyText()].join(", ")}`);
        for (const line of extra) log.info(this.#whose + line);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#published?.[Symbol.dispose]();
    this.#ownRecords?.[Symbol.dispose]();
    endStatus();
  }
}

const round = (value: number) => Math.round(value * 1000) / 1000;

/** A frame that seems older was stamped by another clock. */
const OLDEST_US = 10e6;

/** Capture time in microseconds; undefined unless `v4l2_buffer.flags` say that it is CLOCK_MONOTONIC. */
export function stampedUs(flags: number, tsSec: number, tsUsec: number): number | undefined {
  const clock = flags & V4L2_BUF_FLAG_TIMESTAMP_MASK;
  return clock === V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC ? tsSec * 1e6 + tsUsec : undefined;
}

/** Adds the time since a frame was captured, if that is known. */
export function addLatency(latency: Histogram, captureUs: number | undefined): void {
  if (captureUs === undefined) return;
  const us = monotonicUs() - captureUs;
  if (us >= 0 && us < OLDEST_US) latency.add(us);
}
