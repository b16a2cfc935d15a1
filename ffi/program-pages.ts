// Lets go of memory that only holds what is in files: code and constants of the program and its libraries. madvise(2),
// proc_pid_smaps(5)
import { readFileSync } from "node:fs";
import { libc } from "./libc.ts";

const MADV_DONTNEED = 4;

/** A mapping of smaps: first address, end, access, inode of its file (0: none), and how much of it differs from the file. */
const MAPPING =
  /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+).*\n(?:\w+:.*\n)*?Anonymous: +(\d+) kB/gm;

/**
 * Removes the pages of private mappings of files from this process, unless something may be written there or was. They stay in the
 * kernel's cache of the file, and come back one by one when they are used. Locked memory (mlockall) stays.
 */
export function dropProgramPages(): void {
  const mappings = readFileSync("/proc/self/smaps", "utf8").matchAll(MAPPING);
  for (const [, from = "", to = "", access, inode, changed] of mappings) {
    if (inode === "0" || changed !== "0" || !/^r-.p$/.test(access ?? "")) continue;
    const at = Number.parseInt(from, 16);
    libc.madvise(at, Number.parseInt(to, 16) - at, MADV_DONTNEED);
  }
}
