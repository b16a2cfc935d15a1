// A reserved range of addresses, into which parts of files are mapped. The only user of MAP_FIXED, which replaces whatever is
// mapped at its address: each mapping is checked against the range first.
import { must, result } from "./errno.ts";
import { libc } from "./libc.ts";
import { PROT_READ, PROT_WRITE } from "./mapping.ts";

const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;
/** Leaves the memory out of core files. <sys/mman.h> */
const MADV_DONTDUMP = 16;

export class AddressRange implements Disposable {
  readonly length: number;
  readonly #at: number;
  #open = true;

  /** Reserves `length` bytes of addresses, inaccessible until something is mapped there. `name` is for errors. Throws SysError. */
  constructor(length: number, name: string) {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    this.#at = must(result(libc.mmap(0, length, 0, flags, -1, 0)), "mmap", name);
    this.length = length;
  }

  /** The first address. Throws once disposed. */
  get address(): number {
    if (!this.#open) throw new Error("the address range is gone");
    return this.#at;
  }

  /**
   * Maps `length` bytes of a file from `offset` at `at`, shared, for reading and writing. Answers 0 or a negative errno. Throws
   * RangeError when a byte of it is outside the range.
   */
  map(at: number, length: number, fd: number, offset: number, flags = MAP_NORESERVE): number {
    const whole = [at, length, offset].every((n) => Number.isSafeInteger(n) && n >= 0);
    if (!whole || length < 1 || at < this.address || at + length > this.address + this.length) {
      throw new RangeError(
        `${length} bytes at ${at} are outside ${this.length} bytes at ${this.address}`,
      );
    }
    const all = MAP_SHARED | MAP_FIXED | flags;
    const r = result(libc.mmap(at, length, PROT_READ | PROT_WRITE, all, fd, offset));
    return Math.min(r, 0);
  }

  /** Leaves what is mapped now out of core files. */
  omitFromDumps(): void {
    libc.madvise(this.address, this.length, MADV_DONTDUMP);
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    libc.munmap(this.#at, this.length);
  }
}
