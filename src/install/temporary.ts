// Temporary names beside the places of files, and what is left of them by an installation that was killed.
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/** The process and a number. */
const PATTERN = /^\.framepass-(\d+)-\d+$/;

export const temporaryName = (number: number): string => `.framepass-${process.pid}-${number}`;

/**
 * Removes from a folder what a killed process has left there. To be called before this process puts anything into the folder:
 * names with its own number are then of an earlier process. In a container the number is often the same.
 */
export function removeLeftovers(folder: string): void {
  for (const name of readdirSync(folder)) {
    const [, pid] = PATTERN.exec(name) ?? [];
    if (pid === undefined) continue;
    if (Number(pid) === process.pid || !existsSync(`/proc/${pid}`))
      rmSync(join(folder, name), { recursive: true });
  }
}
