// The messages of the daemon that wait in the process of a decoder until it has done what came before them. Entries are used again,
// so that a picture costs no allocation.
import type { DecoderRecord } from "./channel.ts";

/** A message that waits. */
export interface Work {
  type: number;
  slot: number;
  length: number;
  format: number;
  key: number;
  threads: number;
  maxPixels: number;
}

/** Messages that may wait: one for each slot of bitstream, and a few drains and formats between them. */
const MAX_WORK = 64;

export class WorkQueue {
  /** A ring: the oldest is at `#first`. */
  readonly #ring: readonly Work[] = Array.from({ length: MAX_WORK }, () => ({
    type: 0,
    slot: 0,
    length: 0,
    format: 0,
    key: 0,
    threads: 0,
    maxPixels: 0,
  }));
  #first = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Copies a message to the end. Throws when too many wait. */
  add(message: DecoderRecord): void {
    const work = this.at(this.#count);
    if (this.#count === MAX_WORK) throw new Error("too many messages wait");
    this.#count += 1;
    work.type = message.type;
    work.slot = message.slot;
    work.length = message.length;
    work.format = message.format;
    work.key = message.key;
    work.threads = message.threads;
    work.maxPixels = message.max_pixels;
  }

  /** The message with that place in the queue; 0 is the oldest. */
  at(place: number): Work {
    const work = this.#ring[(this.#first + place) % MAX_WORK];
    if (work === undefined) throw new RangeError(`place ${place}`);
    return work;
  }

  /** Removes the oldest. It is valid until the next `add`. */
  shift(): Work {
    if (this.#count === 0) throw new Error("no message waits");
    const work = this.at(0);
    this.#first = (this.#first + 1) % MAX_WORK;
    this.#count -= 1;
    return work;
  }
}
