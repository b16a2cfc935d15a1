// What a connection counts, for statistics. The counters of a front-end's process are in memory that it shares with the
// listener: they are there also when the process was killed.
import { Fd } from "../../ffi/fd.ts";
import { Mapping } from "../../ffi/mapping.ts";

/** Every counter. A new one needs this row and the place that counts. */
export const counterNames = ["requests", "answers", "interrupts", "malformed", "refused"] as const;

export type QueueCounts = Record<(typeof counterNames)[number], number>;

/** Counters made of a number for each name. */
export const countsOf = (value: (name: keyof QueueCounts) => number) =>
  Object.fromEntries(counterNames.map((name) => [name, value(name)])) as QueueCounts;

export const noCounts = () => countsOf(() => 0);

const BYTES = counterNames.length * Float64Array.BYTES_PER_ELEMENT;

/** Counters in a memfd, which another process can map, too. */
export class SharedCounts implements Disposable {
  readonly counts: QueueCounts;
  readonly #fd: Fd;
  readonly #mapping: Mapping;
  #cells: Float64Array<ArrayBuffer>;

  /** Maps counters and owns `fd`. Throws SysError. */
  constructor(fd: Fd) {
    this.#fd = fd;
    this.#mapping = new Mapping(fd.number, BYTES, fd.name);
    this.#cells = new Float64Array(this.#mapping.bytes.buffer);
    this.counts = noCounts();
    for (const [i, name] of counterNames.entries()) {
      Object.defineProperty(this.counts, name, {
        enumerable: true,
        get: () => this.#cells[i] ?? 0,
        set: (value: number) => {
          this.#cells[i] = value;
        },
      });
    }
  }

  /** Counters that are zero. Throws SysError. */
  static create(): SharedCounts {
    using owned = new DisposableStack();
    const fd = owned.use(Fd.memory("counters of a front-end", BYTES));
    const shared = new SharedCounts(fd);
    owned.move();
    return shared;
  }

  /** The descriptor, for the other process. */
  get fd(): number {
    return this.#fd.number;
  }

  /** Unmaps the memory; `counts` keeps the values of this moment. */
  [Symbol.dispose](): void {
    if (this.#fd.closed) return;
    this.#cells = this.#cells.slice();
    this.#mapping[Symbol.dispose]();
    this.#fd[Symbol.dispose]();
  }
}
