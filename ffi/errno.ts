// errno as values and as errors. Wrappers of system calls answer a negative errno, as the kernel does. `must` throws a
// SysError where failure is not expected.

import { read } from "bun:ffi";
import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";
import { libc } from "./libc.ts";

const cell = libc.__errno_location() as Parameters<typeof read.i32>[0];

/** errno numbers by name: `if (r === -errno.EAGAIN)`. */
export const errno = constants.errno;

/** `r`, or the negative errno if `r` is -1. Wrap the call itself: the next call overwrites errno. */
export function result(r: number): number {
  return r === -1 ? -read.i32(cell, 0) : r;
}

/** The name of an errno ("EBUSY"), or "errno 531" for an unknown number. */
export function errnoName(code: number): string {
  for (const [name, value] of Object.entries(errno)) if (value === code) return name;
  return `errno ${code}`;
}

/** A system call failed: the call, the object, the reason. Branch on `code`. */
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
    const where = object === "" ? call : `${call} ${object}`;
    super(`${where}: ${code}${reason === undefined ? "" : ` (${reason})`}`);
    this.call = call;
    this.object = object;
    this.code = code;
    this.errno = number;
  }
}

/** The SysError that `error` is, or is made into when it comes from a call of the runtime (node:fs, Bun.spawn). */
export function asSysError(error: unknown): SysError | undefined {
  if (error instanceof SysError) return error;
  if (!(error instanceof Error)) return undefined;
  const { errno: number, syscall, path } = error as NodeJS.ErrnoException;
  if (typeof number !== "number" || typeof syscall !== "string") return undefined;
  return new SysError(syscall, path ?? "", Math.abs(number));
}

/** `r` if it is not negative. Otherwise throws the SysError for it. */
export function must(r: number, call: string, object: string): number {
  if (r < 0) throw new SysError(call, object, -r);
  return r;
}
