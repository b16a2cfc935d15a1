// How a tool starts its own program again, and how the new process recognizes that.
import { fstatSync } from "node:fs";
import { sealsOf } from "../../ffi/fd.ts";
import { UsageError } from "../errors.ts";

/** A program: its file, the name it is called by, and the words before its options. */
export interface OwnProgram {
  readonly file: string;
  readonly name: string;
  readonly words: readonly string[];
}

/** A compiled executable's sources are under this path. */
export const COMPILED = "/$bunfs/";

/**
 * This program, called as the tool `name`. /proc/self/exe is the file that runs now, also when it was replaced or removed. The
 * name selects the tool in the executable of all tools; an executable of one tool ignores it.
 */
export function ownProgram(name: string): OwnProgram {
  const words = Bun.main.startsWith(COMPILED) ? [] : [Bun.main];
  return { file: "/proc/self/exe", name, words };
}

/** In the environment of the process of a front-end: the process id of its listener. */
export const LISTENER = "FRAMEPASS_VHOST_LISTENER";

/** Numbers of the descriptors that this program passes when it starts itself again. */
export interface PassedDescriptors {
  readonly sockets: readonly number[];
  /** Sealed memory (memfd). */
  readonly memory: readonly number[];
}

/**
 * The process id in the environment variable `variable`, with which this program starts itself again; the variable is removed.
 * Undefined when it is not set. Throws UsageError when the descriptors are not there: then a user has set it.
 */
export function startedAgainBy(
  variable: string,
  { sockets, memory }: PassedDescriptors,
): string | undefined {
  const parent = process.env[variable];
  if (parent === undefined) return undefined;
  delete process.env[variable];
  if (sockets.every(isSocket) && memory.every((fd) => sealsOf(fd) > 0)) return parent;
  throw new UsageError(
    `${variable} is in the environment, and only the processes that this program starts may have it; unset it`,
  );
}

function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket();
  } catch {
    return false; // not open
  }
}
