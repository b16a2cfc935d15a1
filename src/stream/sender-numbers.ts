// The numbers of a receiver's senders: which one a new sender gets, and whether it is a sender that has come again.

/** How long a number is kept for its sender after it left, while others are free. A sender connects again within a second. */
const KEPT_MS = 10_000;

interface Entry {
  readonly number: number;
  state: "free" | "taken" | "over";
  /** Its last sender. */
  host: string | undefined;
  /** No other sender of that host can have had this number last. */
  sure: boolean;
  leftMs: number;
}

/** A number that was given. */
export interface Given {
  readonly number: number;
  /** The sender has the host address of the one that had this number before. */
  readonly again: boolean;
}

export class SenderNumbers {
  readonly #entries: readonly Entry[];

  /** Numbers from 1 to `count`. */
  constructor(count: number) {
    this.#entries = Array.from({ length: count }, (_, i) => ({
      number: i + 1,
      state: "free",
      host: undefined,
      sure: false,
      leftMs: Number.NEGATIVE_INFINITY,
    }));
  }

  /** Whether a sender can be given a number now. */
  get someFree(): boolean {
    return this.#entries.some(({ state }) => state === "free");
  }

  /** Whether no number can be given any more. */
  get allOver(): boolean {
    return this.#entries.every(({ state }) => state === "over");
  }

  /** The lowest number that a sender has; undefined when there is no sender. */
  get lowestTaken(): number | undefined {
    return this.#entries.find(({ state }) => state === "taken")?.number;
  }

  /**
   * Gives a number to a sender of `host`: the one that it had, else the lowest that no sender has left just now, else the lowest.
   * Throws RangeError when none is free.
   */
  give(host: string, nowMs: number): Given {
    const free = this.#entries.filter(({ state }) => state === "free");
    const had = free.filter((entry) => entry.host === host);
    const [first] = had;
    const again = had.length === 1 && first?.sure === true;
    // Of several senders that have left one host, nothing says which one comes again.
    if (had.length > 1) for (const entry of had) entry.sure = false;
    const entry = first ?? free.find(({ leftMs }) => nowMs - leftMs >= KEPT_MS) ?? free[0];
    if (entry === undefined) throw new RangeError("no number is free");
    entry.state = "taken";
    entry.host = host;
    entry.sure = true;
    return { number: entry.number, again };
  }

  /** The sender has left: the number is free. */
  release(number: number, nowMs: number): void {
    const entry = this.#entry(number);
    entry.state = "free";
    entry.leftMs = nowMs;
  }

  /** The number is not given again. */
  end(number: number): void {
    this.#entry(number).state = "over";
  }

  #entry(number: number): Entry {
    const entry = this.#entries[number - 1];
    if (entry === undefined) throw new RangeError(`there is no number ${number}`);
    return entry;
  }
}
