// When a command may be answered. The Linux driver waits 5 s; an answer that comes later is written into a stack frame that is in use
// again, and panics the guest. So a command is answered within 3 s. One that may be older than 4 s is never answered: this process
// was stopped, by a signal or a debugger, while the command waited.

/** A command that waits for something is answered with an error after this time. */
export const LIMIT_MS = 3000;
/** From this age on a command is never answered. */
export const NEVER_MS = 4000;
/** How often `tick` has to be called. */
export const TICK_MS = 250;

export class AnswerTime {
  readonly #now: () => number;
  #aliveMs = 0;
  /** The tick before the last one: a command that is taken now was queued after it, or while this process was stopped. */
  #beforeMs = 0;

  /** `now` is a clock in milliseconds that counts while this process is stopped. */
  constructor(now: () => number) {
    this.#now = now;
    this.restart();
  }

  /** A driver starts: its commands cannot be older. */
  restart(): void {
    this.#aliveMs = this.#now();
    this.#beforeMs = this.#aliveMs;
  }

  /** Call every TICK_MS from the loop that takes the commands. */
  tick(): void {
    const now = this.#now();
    if (now - this.#aliveMs < TICK_MS / 2) return; // a timer that catches up
    this.#beforeMs = this.#aliveMs;
    this.#aliveMs = now;
  }

  /** The earliest time at which a command that is taken now can have been queued, while this process ran normally. */
  taken(): number {
    return this.#beforeMs;
  }

  /** Whether an answer to a command of that time is harmless. */
  mayAnswer(takenMs: number): boolean {
    return this.#now() - takenMs < NEVER_MS;
  }

  /** Whether a command of that time has to be answered now, with an error. */
  isDue(takenMs: number): boolean {
    return this.#now() - takenMs >= LIMIT_MS;
  }
}
