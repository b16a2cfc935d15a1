// The files that a tool has written, where it writes those of several senders.
import { fstatSync, type Stats, statSync } from "node:fs";
import type { Fd } from "../../ffi/fd.ts";

/** Files that were written, by what the kernel says about them: one file may have several names. */
export class WrittenFiles {
  readonly #files = new Set<string>();

  add(fd: Fd): void {
    this.#files.add(identity(fstatSync(fd.number)));
  }

  has(path: string): boolean {
    const there = statSync(path, { throwIfNoEntry: false });
    return there !== undefined && this.#files.has(identity(there));
  }
}

const identity = ({ dev, ino }: Stats) => `${dev}:${ino}`;
