// Percentiles of durations. Durations are counted in buckets 2 % apart and not kept; adding one allocates nothing.

const GROWTH = Math.log(1.02);
/** The last bucket ends at 1.02^1050 us, about 18 minutes. */
export const BUCKETS = 1050;

/** The longest duration that is counted in a bucket, in microseconds. */
export const bucketEndUs = (bucket: number): number => Math.exp(bucket * GROWTH);

export class Histogram {
  readonly #counts = new Uint32Array(BUCKETS);
  #total = 0;
  #sumUs = 0;
  #longestUs = 0;

  /** Counts one duration, in microseconds. Less than 1 and NaN count as 1. */
  add(us: number): void {
    const bucket = us > 1 ? Math.min(BUCKETS - 1, Math.ceil(Math.log(us) / GROWTH)) : 0;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#total += 1;
    if (us > 1) this.#sumUs += us;
    else this.#sumUs += 1; // also for NaN
    if (us > this.#longestUs) this.#longestUs = us;
  }

  get count(): number {
    return this.#total;
  }

  /** Microseconds of all durations together. */
  get sumUs(): number {
    return this.#sumUs;
  }

  /** The longest duration in milliseconds, exact. Undefined without durations. */
  get longestMs(): number | undefined {
    return this.#total === 0 ? undefined : Math.max(1, this.#longestUs) / 1000;
  }

  /** Copies the counts of the buckets to the start of `to`, which has at least BUCKETS numbers. */
  copyCounts(to: Float64Array): void {
    to.set(this.#counts);
  }

  /** The milliseconds that `percent` of all durations do not exceed, up to 2 % too high. Undefined without durations. */
  percentileMs(percent: number): number | undefined {
    const { longestMs } = this;
    if (longestMs === undefined) return undefined;
    const rank = Math.ceil((this.#total * percent) / 100);
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#counts[bucket] ?? 0;
      if (seen >= rank) return Math.min(longestMs, bucketEndUs(bucket) / 1000);
    }
    return undefined;
  }
}
