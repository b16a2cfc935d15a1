// The figures as the worker reads them: all groups that the tool has published.
import { readFileSync } from "node:fs";
import type { ProcessState, Sample } from "./exposition.ts";
import type { SharedFigure } from "./messages.ts";
import { histogramCells } from "./shared-figures.ts";

interface Group {
  readonly figures: readonly SharedFigure[];
  readonly cells: Float64Array;
}

export class FigureBoard {
  /** By number. */
  readonly #groups = new Map<number, Group>();

  add(group: number, figures: readonly SharedFigure[], memory: SharedArrayBuffer): void {
    this.#groups.set(group, { figures, cells: new Float64Array(memory) });
  }

  /** The group is not shown any more. */
  remove(group: number): void {
    this.#groups.delete(group);
  }

  /** Copies of all values. */
  samples(): Sample[] {
    return [...this.#groups.values()].flatMap(({ figures, cells }) =>
      figures.map(({ kind, labels, cell }) => {
        const length = kind.type === "histogram" ? histogramCells.cells : 1;
        return { kind, labels, cells: cells.slice(cell, cell + length) };
      }),
    );
  }
}

/** Memory and processor time of this process. */
export function processState(): ProcessState {
  const [, kib = "0"] =
    /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync("/proc/self/status", "latin1")) ?? [];
  const { user, system } = process.cpuUsage();
  return { residentBytes: Number(kib) * 1024, cpuSeconds: (user + system) / 1e6 };
}
