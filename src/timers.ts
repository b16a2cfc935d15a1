// The timers of the loop. Times are those of `performance.now()`, in ms.

/** A timer with a period of this or more may be late by a quarter of it, 40 ms at most, so that it needs no wake-up of its own. */
const LATE_PERIOD_MS = 100;
const LATE_MS = 40;

interface Timer {
  readonly handler: () => void;
  readonly periodMs: number;
  /** How long it may wait for a wake-up by something else. */
  readonly lateMs: number;
  dueMs: number;
}

export class Timers {
  readonly #timers = new Set<Timer>();
  /** When the first timer is due, and when the loop has to wake up for one; or earlier when that one was disposed. */
  #dueMs = Number.POSITIVE_INFINITY;
  #latestMs = Number.POSITIVE_INFINITY;

  /** Calls `handler` every `periodMs`, first after one period; from 100 ms on up to a quarter of it late, 40 ms at most. */
  every(periodMs: number, handler: () => void): Disposable {
    const lateMs = periodMs < LATE_PERIOD_MS ? 0 : Math.min(LATE_MS, periodMs / 4);
    return this.#schedule({ handler, periodMs, lateMs, dueMs: performance.now() + periodMs });
  }

  /** Calls `handler` once, after `delayMs`. */
  after(delayMs: number, handler: () => void): Disposable {
    const dueMs = performance.now() + delayMs;
    return this.#schedule({ handler, periodMs: 0, lateMs: 0, dueMs });
  }

  /** Whole ms until the loop has to wake up for a timer; infinity: there is none. */
  waitMs(nowMs: number): number {
    return this.#timers.size === 0
      ? Number.POSITIVE_INFINITY
      : Math.max(0, Math.ceil(this.#latestMs - nowMs));
  }

  /** Calls the handlers that are due. Answers whether any could be. */
  fire(nowMs: number): boolean {
    if (nowMs < this.#dueMs) return false;
    for (const timer of this.#timers) {
      if (timer.dueMs > nowMs) continue;
      if (timer.periodMs > 0) timer.dueMs = Math.max(timer.dueMs + timer.periodMs, nowMs);
      else this.#timers.delete(timer);
      timer.handler();
    }
    this.look();
    return true;
  }

  /** Looks for the timer that is due first. */
  look(): void {
    this.#dueMs = this.#latestMs = Number.POSITIVE_INFINITY;
    for (const timer of this.#timers) this.#expect(timer);
  }

  #schedule(timer: Timer): Disposable {
    this.#timers.add(timer);
    this.#expect(timer);
    return { [Symbol.dispose]: () => this.#timers.delete(timer) };
  }

  #expect({ dueMs, lateMs }: Timer): void {
    this.#dueMs = Math.min(this.#dueMs, dueMs);
    this.#latestMs = Math.min(this.#latestMs, dueMs + lateMs);
  }
}
