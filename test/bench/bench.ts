// The interface of a bench, and what benches share.
import type { Table } from "./figures.ts";

export interface Bench {
  readonly name: string;
  readonly title: string;
  /** Parts that can be measured alone: `bun run bench NAME PART`. */
  readonly parts?: readonly string[];
  /** Measures and reports; all parts without `part`. */
  run(report: Report, part?: string): Promise<void>;
}

/** Where a bench puts what it has measured. */
export interface Report {
  /** Prints a table and keeps its figures. */
  table(table: Table): void;
  /** Prints a line that is no figure, such as the rounds behind a median. */
  line(text: string): void;
}

/** The median. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** A free TCP port of the loopback address. */
export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  listener.stop(true);
  return listener.port;
}

/** Compiles a C file of this folder. */
export function compileC(source: string, program: string, ...words: string[]): void {
  const command = ["gcc", "-O2", "-o", program, `${import.meta.dir}/${source}`, ...words];
  const { exitCode, stderr } = Bun.spawnSync(command, { stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
}
