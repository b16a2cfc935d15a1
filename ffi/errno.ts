// errno as values and as errors. A system call's wrapper answers a negative errno, as the kernel does;
// `must` turns that into a SysError where failure is not an expected outcome.

import { read } from "bun:ffi";
import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";
import { libc } from "./libc.ts";

const cell = libc.__errno_location() as Parameters<typeof read.i32>[0];

/** errno names to numbers, for branching: `if (r === -errno.EAGAIN)`. */
export const errno = constants.errno;

/** `r` itself, or the negative errno when `r` is -1. Must wrap the call directly: errno lives until the next one. */
export function result(r: number): number {
  return r === -1 ? -read.i32(cell, 0) : r;
}

/** The name of an errno ("EBUSY"), or "errno 531" for one nobody named. */
export function errnoName(code: number): string {
  for (const [name, value] of Object.entries(errno)) if (value === code) return name;
  return `errno ${code}`;
}

/** A system call that failed: which call, on what, why. Branch on `code`. */
export class SysError extends Error {
  override readonly name = "SysError";
  readonly call: string;
  readonly object: string;
  /** The errno's name, "EBUSY". */
  readonly code: string;
  /** The errno itself, positive. */
  readonly errno: number;

  constructor(call: string, object: string, number: number) {
    const code = errnoName(number);
    const reason = getSystemErrorMap().get(-number)?.[1];
    super(`${call} ${object}: ${code}${reason === undefined ? "" : ` (${reason})`}`);
    this.call = call;
    this.object = object;
    this.code = code;
    this.errno = number;
  }
}

/** `r` when it is not negative; otherwise throws the SysError it stands for. */
export function must(r: number, call: string, object: string): number {
  if (r < 0) throw new SysError(call, object, -r);
  return r;
}
