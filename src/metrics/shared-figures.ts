// Figures in shared memory: the loop writes them a few times a second, the worker reads them when it wants. A cell is a 64-bit
// float, which no processor that Bun runs on reads in halves.
import type { Figure } from "../cli/figures.ts";
import { BUCKETS, Histogram } from "../cli/histogram.ts";
import type { SharedFigure } from "./messages.ts";

/** Cells of a histogram: the durations, their sum in microseconds, the counts of the buckets. */
export const histogramCells = { count: 0, sumUs: 1, buckets: 2, cells: 2 + BUCKETS } as const;

const cellsOf = ({ value }: Figure) => (value instanceof Histogram ? histogramCells.cells : 1);

/** A group of figures that one part of a tool publishes. */
export class FigureGroup implements Disposable {
  readonly shared: readonly SharedFigure[];
  readonly memory: SharedArrayBuffer;
  readonly #cells: Float64Array;
  #figures: readonly Figure[];

  constructor(figures: readonly Figure[], labels: Readonly<Record<string, string>>) {
    let cell = 0;
    this.shared = figures.map((figure) => {
      const at = cell;
      cell += cellsOf(figure);
      return { kind: figure.kind, labels: { ...labels, ...figure.labels }, cell: at };
    });
    this.memory = new SharedArrayBuffer(cell * Float64Array.BYTES_PER_ELEMENT);
    this.#cells = new Float64Array(this.memory);
    this.#figures = figures;
    this.update();
  }

  update(): void {
    for (const [i, { kind, value }] of this.#figures.entries()) {
      const at = this.shared[i]?.cell ?? 0;
      if (!(value instanceof Histogram)) {
        // Prometheus takes a counter that goes down for a new start of the tool, and counts all of it again.
        const least = kind.type === "counter" ? (this.#cells[at] ?? 0) : Number.NEGATIVE_INFINITY;
        this.#cells[at] = Math.max(least, value());
      } else if (this.#cells[at + histogramCells.count] !== value.count) {
        value.copyCounts(this.#cells.subarray(at + histogramCells.buckets));
        this.#cells[at + histogramCells.sumUs] = value.sumUs;
        this.#cells[at + histogramCells.count] = value.count;
      }
    }
  }

  [Symbol.dispose](): void {
    this.update();
    this.#figures = []; // what they count may be gone
  }
}
