// Statistics of a running stream: a line per interval and a summary on stderr, or JSON records on stdout.
import { monotonicUs } from "../../ffi/clock.ts";
import {
  V4L2_BUF_FLAG_TIMESTAMP_MASK,
  V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC,
} from "../../ffi/linux/videodev2.ts";
import type { Loop } from "../loop.ts";
import { Histogram } from "./histogram.ts";
import { log } from "./log.ts";
import { Records } from "./stdout.ts";
import { endStatus, onTerminal, showStatus } from "./terminal.ts";

export interface StatsOptions {
  /** Seconds between two lines; 0 means only the summary. */
  readonly stats: number;
  /** Write JSON records to stdout instead of lines to stderr. */
  readonly json: boolean;
  /** Frames after which the stream ends, for the progress bar. */
  readonly frames?: number | undefined;
  /** Records latency. Receivers that know the exact arrival time pass their own and add to it. */
  readonly latency?: Histogram | undefined;
}

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
export type Counters = () => { readonly drops: number; readonly errors: number };

export class StreamStats implements Disposable {
  frames = 0;
  bytes = 0;
  /** Whether a peer is connected. Without one no interval is reported. */
  streaming = false;
  /** Frames shorter than the stream's sizeimage. */
  short = 0;
  readonly latency: Histogram;
  readonly #startedMs = performance.now();
  readonly #options: StatsOptions;
  readonly #counters: Counters;
  readonly #timer: Disposable | undefined;
  readonly #records: Records | undefined;
  #lastMs = this.#startedMs;
  #lastFrames = 0;
  #lastBytes = 0;
  #firstFrameMs = 0;
  #lastFrameMs = 0;

  constructor(loop: Loop, options: StatsOptions, counters: Counters) {
    this.#options = options;
    this.latency = options.latency ?? new Histogram();
    this.#counters = counters;
    this.#records = options.json ? new Records() : undefined;
    if (options.stats > 0) this.#timer = loop.every(options.stats * 1000, () => this.#interval());
  }

  /** Counts one frame of `bytes` bytes. */
  frame(bytes: number): void {
    this.#lastFrameMs = performance.now();
    if (this.frames === 0) this.#firstFrameMs = this.#lastFrameMs;
    this.frames += 1;
    this.bytes += bytes;
  }

  /** Average frames per second, first frame to last. */
  get fps(): number {
    const seconds = (this.#lastFrameMs - this.#firstFrameMs) / 1000;
    return seconds > 0 ? (this.frames - 1) / seconds : 0;
  }

  /** Writes one line of JSON to stdout with --json; does nothing without. */
  record(kind: "started" | "stats" | "stopped", fields: Record<string, unknown>): void {
    this.#records?.write({ record: kind, ...fields });
  }

  #interval(): void {
    const nowMs = performance.now();
    const seconds = (nowMs - this.#lastMs) / 1000;
    const frames = this.frames - this.#lastFrames;
    const bytes = this.bytes - this.#lastBytes;
    this.#lastMs = nowMs;
    this.#lastFrames = this.frames;
    this.#lastBytes = this.bytes;
    if (!this.streaming) return;
    const { drops, errors } = this.#counters();
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
    if (this.#options.json) return;
    const rate = `${fps.toFixed(1)} fps, ${(bytes / seconds / 1e6).toFixed(1)} MB/s`;
    const line = `${this.frames} frames, ${rate}, ${drops} dropped, ${errors} damaged${this.#latencyText()}`;
    if (onTerminal) showStatus(this.#bar() + line);
    else log.info(line);
  }

  #bar(): string {
    const total = this.#options.frames;
    if (total === undefined) return "";
    const width = 20;
    const done = Math.min(width, Math.floor((width * this.frames) / total));
    return `[${"#".repeat(done)}${".".repeat(width - done)}] `;
  }

  #latencyFields(): Record<string, number> {
    const at = (percent: number) => this.latency.percentileMs(percent);
    const [p50, p95, p99] = [at(50), at(95), at(99)];
    if (p50 === undefined || p95 === undefined || p99 === undefined) return {};
    return { latency_p50_ms: round(p50), latency_p95_ms: round(p95), latency_p99_ms: round(p99) };
  }

  #latencyText(): string {
    const p50 = this.latency.percentileMs(50);
    const p99 = this.latency.percentileMs(99);
    if (p50 === undefined || p99 === undefined) return "";
    return `, latency p50 ${p50.toFixed(2)} ms p99 ${p99.toFixed(2)} ms`;
  }

  /** Logs the summary and then the `extra` lines; with --json writes the `stopped` record instead. */
  finish(
    reason: string,
    extra: readonly string[] = [],
    fields: Record<string, unknown> = {},
  ): void {
    endStatus();
    const seconds = (performance.now() - this.#startedMs) / 1000;
    const { drops, errors } = this.#counters();
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
    if (this.#options.json) return;
    const short = this.short > 0 ? `, ${this.short} short` : "";
    const what = `${this.frames} frames, ${this.bytes} bytes in ${seconds.toFixed(2)} s (${this.fps.toFixed(1)} fps)`;
    log.info(
      `${reason}: ${what}, ${drops} dropped, ${errors} damaged${short}${this.#latencyText()}`,
    );
    for (const line of extra) log.info(line);
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#records?.[Symbol.dispose]();
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
