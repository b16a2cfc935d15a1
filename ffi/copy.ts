// Copies between stretches of memory that are known by address, for frames: a typed array's `set` needs a view
// for each side of each copy, this needs none.
import { libc } from "./libc.ts";

/** Copies `length` bytes. Both stretches are the caller's: mapped, at least that long, not overlapping. */
export function copyMemory(to: number, from: number, length: number): void {
  if (length > 0) libc.memcpy(to, from, length);
}
