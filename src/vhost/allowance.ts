// How often something may be logged: a number at once, then one in each period.

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

  /** Takes one. `quiet`: there was none left. Otherwise `hidden` is how many were quiet since the last that was not. */
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
