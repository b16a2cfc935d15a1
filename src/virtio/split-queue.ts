// The device side of a split virtqueue: VIRTIO 1.2, 2.7. Indices are accessed by Atomics, which are sequentially consistent:
// a store of ours is visible before a later load of a field of the driver.
import { BadChain, type Chain, ChainWalker, type GuestAccess } from "./chain.ts";
import { VIRTQ_AVAIL_F_NO_INTERRUPT } from "./ring-layout.ts";

/** The ring itself is corrupt: the driver broke its rules. */
export class RingError extends Error {
  override readonly name = "RingError";
}

/** The memory of a queue's three areas. */
export interface Rings {
  readonly descriptors: Uint8Array<ArrayBuffer>;
  readonly available: Uint8Array<ArrayBuffer>;
  readonly used: Uint8Array<ArrayBuffer>;
}

export interface QueueOptions {
  readonly size: number;
  readonly indirect: boolean;
  readonly eventIdx: boolean;
  /** Where chains in flight are recorded, if they are. */
  readonly log?: InflightLog | undefined;
}

/** Records the chains in flight, so that the next back-end can go on. */
export interface InflightLog {
  taken(head: number): void;
  completing(head: number): void;
  completed(head: number, usedIndex: number): void;
}

/** Limit, beyond the size of the queue, of writable parts of all chains in flight. */
const spareParts = 65_536;

export class SplitQueue {
  readonly #options: QueueOptions;
  readonly #memory: GuestAccess;
  #walker!: ChainWalker;
  #available!: Uint16Array<ArrayBuffer>;
  #used!: Uint16Array<ArrayBuffer>;
  #usedElements!: Uint32Array<ArrayBuffer>;
  /** Per head: 0, or 1 + its writable parts while it is in flight. */
  readonly #inFlight: Uint32Array;
  #parts = 0;
  #next: number;
  #usedIndex: number;
  #signalled: number;
  #signalledOnce = false;

  /** A queue over `rings`; the first chain is at available index `next`. */
  constructor(rings: Rings, memory: GuestAccess, next: number, options: QueueOptions) {
    this.#options = options;
    this.#memory = memory;
    this.#inFlight = new Uint32Array(options.size);
    this.bind(rings);
    this.#next = next;
    this.#usedIndex = Atomics.load(this.#used, 1);
    this.#signalled = this.#usedIndex;
  }

  /** Uses other views of the same areas from now on: the memory table changed, or the ring runs again. */
  bind({ descriptors, available, used }: Rings): void {
    const { size, indirect } = this.#options;
    const table = new DataView(descriptors.buffer, descriptors.byteOffset, descriptors.byteLength);
    this.#walker = new ChainWalker(table, size, indirect);
    this.#available = new Uint16Array(
      available.buffer,
      available.byteOffset,
      available.byteLength / 2,
    );
    this.#used = new Uint16Array(used.buffer, used.byteOffset, used.byteLength / 2);
    this.#usedElements = new Uint32Array(used.buffer, used.byteOffset + 4, 2 * size);
  }

  /** The available index of the next chain. */
  get next(): number {
    return this.#next;
  }
  /** The used index as the driver sees it. */
  get usedIndex(): number {
    return this.#usedIndex;
  }

  /** Sets the next chain to `ahead` entries after the used index: for a queue used in order with `ahead` chains in flight. */
  goOnAtUsed(ahead: number): void {
    this.#next = (this.#usedIndex + ahead) & 0xffff;
  }

  /** Sets the next chain to the next one that the driver makes available: those that wait now are never returned. */
  goOnAtNew(): void {
    this.#next = Atomics.load(this.#available, 1);
  }

  /**
   * The next chain, or undefined when there is none. A malformed chain is returned to the driver with length 0; the result
   * is then a BadChain. Throws RingError when the ring is corrupt.
   */
  pop(): Chain | BadChain | undefined {
    const pending = (Atomics.load(this.#available, 1) - this.#next) & 0xffff;
    if (pending === 0) return undefined;
    const { size } = this.#options;
    if (pending > size) throw new RingError(`${pending} entries in a ring of ${size}`);
    const head = this.#available[2 + (this.#next % size)] ?? 0;
    if (head >= size) throw new RingError(`head ${head} in a ring of ${size}`);
    if (this.#inFlight[head] !== 0) throw new RingError(`head ${head} is in flight already`);
    this.#next = (this.#next + 1) & 0xffff;
    return this.take(head);
  }

  /** Takes the chain at `head` without the available ring: for chains that an earlier back-end left in flight. */
  take(head: number): Chain | BadChain {
    this.#options.log?.taken(head);
    try {
      const chain = this.#walker.walk(head, this.#memory);
      const parts = chain.writable.length / 2;
      if (this.#parts + parts > this.#options.size + spareParts) {
        throw new BadChain("too many writable parts in flight");
      }
      this.#parts += parts;
      this.#inFlight[head] = 1 + parts;
      return chain;
    } catch (error) {
      if (!(error instanceof BadChain)) throw error;
      this.#inFlight[head] = 1;
      this.push(head, 0);
      return error;
    }
  }

  /** Writes as much of `answer` as fits into the chain. The number of bytes written; 0 when its memory is gone. */
  fill(chain: Chain, answer: Uint8Array<ArrayBuffer>): number {
    const wanted = Math.min(answer.length, chain.room);
    let done = 0;
    for (let i = 0; i < chain.writable.length && done < wanted; i += 2) {
      const length = Math.min(chain.writable[i + 1] ?? 0, wanted - done);
      if (!this.#memory.write(chain.writable[i] ?? 0, length, answer, done)) return 0;
      done += length;
    }
    return done;
  }

  /** Returns a chain to the driver, `written` bytes of it filled. */
  push(head: number, written: number): void {
    const { size, log } = this.#options;
    const parts = this.#inFlight[head] ?? 0;
    if (parts === 0) return; // not in flight
    this.#parts -= parts - 1;
    this.#inFlight[head] = 0;
    log?.completing(head);
    const slot = (this.#usedIndex % size) * 2;
    this.#usedElements[slot] = head;
    this.#usedElements[slot + 1] = written;
    this.#usedIndex = (this.#usedIndex + 1) & 0xffff;
    Atomics.store(this.#used, 1, this.#usedIndex); // publishes the stores before it
    log?.completed(head, this.#usedIndex);
  }

  /** Whether to interrupt the driver for the chains published since the last call: 2.7.7.2. */
  wantsNotice(): boolean {
    const { size, eventIdx } = this.#options;
    const old = this.#signalled;
    const now = this.#usedIndex;
    if (old === now) return false;
    this.#signalled = now;
    if (!eventIdx) return (Atomics.load(this.#available, 0) & VIRTQ_AVAIL_F_NO_INTERRUPT) === 0;
    const event = Atomics.load(this.#available, 2 + size);
    const first = !this.#signalledOnce;
    this.#signalledOnce = true;
    return first || ((now - event - 1) & 0xffff) < ((now - old) & 0xffff);
  }

  /** Asks the driver for a kick at its next buffer. True when a buffer is there already, which brings no kick: 2.7.10. */
  wantKick(): boolean {
    const { size, eventIdx } = this.#options;
    if (eventIdx)
      Atomics.store(this.#used, 2 + 4 * size, this.#next); // avail_event
    else Atomics.store(this.#used, 0, 0);
    return Atomics.load(this.#available, 1) !== this.#next;
  }
}
