// What a connection counts, for statistics. The counters of a front-end's process are in memory that it shares with the
// listener, which can still read them after the process was killed.
import { Fd } from "../../ffi/fd.ts";
import { Mapping } from "../../ffi/mapping.ts";
import type { FigureKind } from "../cli/figures.ts";

/** Every counter. A new one needs this row and the place that counts. */
export const counterNames = ["requests", "answers", "interrupts", "malformed", "refused"] as const;

type CounterName = (typeof counterNames)[number];
/** What has a row for each counter. */
type Rows = Readonly<Record<CounterName, FigureKind>>;

/** The figure of a counter; of all front-ends together, as in the statistics lines. */
const figure = (name: string, help: string, title?: string): FigureKind => ({
  metric: `framepass_${name}_total`,
  type: "counter",
  help,
  ...(title !== undefined && { plot: { title, scale: 1 } }),
});

export const frontEndFigure = figure("front_ends", "Front-ends that have connected.");

/** The figures of --metrics. */
export const ringFigures: Rows = {
  requests: figure("requests", "Requests of the driver that were taken.", "Requests per second"),
  answers: figure("answers", "Requests that were answered.", "Answers per second"),
  interrupts: figure("interrupts", "Interrupts of the guest.", "Interrupts per second"),
  malformed: figure("malformed_chains", "Chains of descriptors that were malformed."),
  refused: figure("refused_requests", "Requests of the monitor that were refused."),
};

/**
 * The same of the front-end that is here now. They have names of their own: a sum over the labels of one name would count each
 * front-end twice.
 */
export const eachFrontEndFigures = Object.fromEntries(
  counterNames.map((name): [CounterName, FigureKind] => {
    const { metric, help } = ringFigures[name];
    return [
      name,
      {
        metric: metric.replace(/^framepass_/, "framepass_front_end_"),
        type: "counter",
        help: `${help.slice(0, -1)}, of the front-end that is connected.`,
        labels: { front_end: "its number, from 1 in the order in which they connected" },
      },
    ];
  }),
) as Rows;

export type QueueCounts = Record<CounterName, number>;

/** Makes a set of counters; `value` gives the number of each. */
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

  /** Creates the memory, with all counters at zero. Throws SysError. */
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

  /** Unmaps the memory. `counts` keeps the last values. */
  [Symbol.dispose](): void {
    if (this.#fd.closed) return;
    this.#cells = this.#cells.slice();
    this.#mapping[Symbol.dispose]();
    this.#fd[Symbol.dispose]();
  }
}
