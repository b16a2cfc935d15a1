// Lets go of memory that only holds what is in files: code and constants of the program and its libraries. madvise(2),
// proc_pid_smaps(5)
import { readFileSync } from "node:fs";
import { libc } from "./libc.ts";

const MADV_DONTNEED = 4;

/**
 * A mapping of smaps: first address, end, access, inode of its file (0: none), and how much of it differs from the file: in memory
 * ("Anonymous") and in the swap space ("Swap").
 */
const MAPPING =
  /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+).*\n(?:\w+:.*\n)*?Anonymous: +(\d+) kB\n(?:\w+:.*\n)*?Swap: +(\d+) kB/gm;

/** Addresses and lengths of the private mappings of files in the text of smaps, without those where something may be written or was. */
export function unchangedMappings(smaps: string): (readonly [at: number, length: number])[] {
  return [...smaps.matchAll(MAPPING)].flatMap(
    ([, from = "", to = "", access = "", inode, changed, swapped]) => {
      if (inode === "0" || changed !== "0" || swapped !== "0" || !/^r-.p$/.test(access)) return [];
      const at = Number.parseInt(from, 16);
      return [[at, Number.parseInt(to, 16) - at] as const];
    },
  );
}

/**
 * Removes the pages of these mappings from this process. They stay in the kernel's cache of the file, and come back one by one when
 * they are used. Locked memory (mlockall) stays.
 */
export function dropProgramPages(): void {
  const smaps = readFileSync("/proc/self/smaps", "utf8");
  for (const [at, length] of unchangedMappings(smaps)) libc.madvise(at, length, MADV_DONTNEED);
}
