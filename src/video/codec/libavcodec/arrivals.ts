// What the process of a decoder has sent and the guest has not got yet, in order. Entries are used again, so that a picture costs
// no allocation.
import { PICTURE_SLOTS } from "./messages.ts";

/** A picture in a slot, another size, or the end of a drain. */
export interface Arrival {
  kind: "picture" | "size" | "drained";
  slot: number;
  /** 0: the picture is in its slot. Otherwise in this frame, counted from 1, and its planes begin there. */
  frame: number;
  readonly planes: [number, number, number];
  key: number;
  width: number;
  height: number;
}

const fresh = (): Arrival => ({
  kind: "picture",
  slot: 0,
  frame: 0,
  planes: [0, 0, 0],
  key: 0,
  width: 0,
  height: 0,
});

export class Arrivals {
  /** A ring: the oldest is at `#first`. It grows when more wait than ever before. */
  #ring: Arrival[] = Array.from({ length: 2 * PICTURE_SLOTS }, fresh);
  #first = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** The oldest. It is valid until the next `add`. */
  get next(): Arrival | undefined {
    return this.#count === 0 ? undefined : this.#ring[this.#first];
  }

  /** An entry at the end, for the caller to fill in. */
  add(kind: Arrival["kind"]): Arrival {
    if (this.#count === this.#ring.length) this.#grow();
    const entry = this.#ring[(this.#first + this.#count) % this.#ring.length] ?? fresh();
    this.#count += 1;
    entry.kind = kind;
    return entry;
  }

  #grow(): void {
    const ordered = this.#ring.map((_, i) => this.#ring[(this.#first + i) % this.#ring.length]);
    this.#ring = [...ordered.filter((entry) => entry !== undefined), ...this.#ring.map(fresh)];
    this.#first = 0;
  }

  /** Removes the oldest. */
  shift(): void {
    if (this.#count === 0) return;
    this.#first = (this.#first + 1) % this.#ring.length;
    this.#count -= 1;
  }
}
