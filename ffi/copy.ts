// Copies memory that is known by address, as frames are. The `set` of a typed array needs a view of each side for
// each copy; this needs none.
import { libc } from "./libc.ts";

/** Copies `length` bytes. The caller checks that both ranges are mapped, that long, and do not overlap. */
export function copyMemory(to: number, from: number, length: number): void {
  if (length > 0) libc.memcpy(to, from, length);
}
