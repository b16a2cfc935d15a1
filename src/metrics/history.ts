// The last five minutes: what the figures were each second, so that the page has a plot when it is opened.
import type { FigureKind } from "../cli/figures.ts";
import { BUCKETS, bucketEndUs } from "../cli/histogram.ts";
import type { Sample } from "./exposition.ts";
import { histogramCells } from "./shared-figures.ts";

/** Seconds that are remembered. */
export const HISTORY_S = 300;

/** What one figure was in each of the last seconds, oldest first. NaN: not known. */
export interface Series {
  readonly kind: FigureKind;
  readonly labels: Readonly<Record<string, string>>;
  /** Per second, of a counter; of a histogram the median and the 99th percentile in milliseconds. */
  readonly lines: readonly (readonly number[])[];
}

interface Kept {
  readonly kind: FigureKind;
  readonly labels: Readonly<Record<string, string>>;
  last: Float64Array;
  readonly lines: readonly number[][];
}

const PERCENTS = [50, 99];

export class History {
  readonly #kept = new Map<string, Kept>();
  #seconds = 0;

  /** Seconds with values, at most HISTORY_S. */
  get seconds(): number {
    return this.#seconds;
  }

  /** Adds the values of this second; `elapsed` are the seconds since the last call. */
  add(samples: readonly Sample[], elapsed: number): void {
    this.#seconds = Math.min(HISTORY_S, this.#seconds + 1);
    const gone = new Set(this.#kept.keys());
    for (const { kind, labels, cells } of samples) {
      if (kind.type === "gauge") continue;
      const key = `${kind.metric} ${JSON.stringify(labels)}`;
      gone.delete(key);
      const known = this.#kept.get(key);
      if (known === undefined) {
        const lines = kind.type === "histogram" ? PERCENTS.map((): number[] => []) : [[]];
        this.#kept.set(key, { kind, labels, last: cells, lines });
        continue;
      }
      const values = kind.type === "histogram" ? percentilesMs(known.last, cells) : [];
      if (kind.type === "counter")
        values.push(Math.max(0, ((cells[0] ?? 0) - (known.last[0] ?? 0)) / elapsed));
      for (const [i, line] of known.lines.entries()) {
        line.push(values[i] ?? Number.NaN);
        if (line.length > HISTORY_S) line.shift();
      }
      known.last = cells;
    }
    for (const key of gone) this.#kept.delete(key); // withdrawn
  }

  /** All figures that change, in the order in which they were published. */
  series(): readonly Series[] {
    return [...this.#kept.values()];
  }
}

/** Percentiles of the durations that came between two states of a histogram; NaN without durations. */
function percentilesMs(before: Float64Array, after: Float64Array): number[] {
  const came = (bucket: number) => {
    const at = histogramCells.buckets + bucket;
    return (after[at] ?? 0) - (before[at] ?? 0);
  };
  let total = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket++) total += came(bucket);
  return PERCENTS.map((percent) => {
    const rank = Math.ceil((total * percent) / 100);
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS && total > 0; bucket++) {
      seen += came(bucket);
      if (seen >= rank) return bucketEndUs(bucket) / 1000;
    }
    return Number.NaN;
  });
}
