// Limits log lines: at first up to a fixed number at once, after that one more in each period.

export class Allowance {
  readonly #most: number;
  readonly #periodMs: number;
  readonly #nowMs: () => number;
  #left: number;
  #filledMs: number;
  #hidden = 0;

  constructor(most: number, periodMs: number, nowMs = () => performance.now()) {
    this.#most = most;
    this.#periodMs = periodMs;
    this.#nowMs = nowMs;
    this.#left = most;
    this.#filledMs = nowMs();
  }

  /** Asks for one line. `quiet`: it must not be logged. Otherwise `hidden` is the number of quiet lines before it. */
  take(): { readonly quiet: boolean; readonly hidden: number } {
    const more = Math.floor((this.#nowMs() - this.#filledMs) / this.#periodMs);
    this.#filledMs += more * this.#periodMs;
    this.#left = Math.min(this.#most, this.#left + more);
    if (this.#left === 0) {
      this.#hidden += 1;
      return { quiet: true, hidden: 0 };
    }
    this.#left -= 1;
    const hidden = this.#hidden;
    this.#hidden = 0;
    return { quiet: false, hidden };
  }
}
