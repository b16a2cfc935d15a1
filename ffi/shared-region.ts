// A stretch of another program's file, mapped shared between two pages nobody may touch. It can be larger than one view
// may be, and a view of gigabytes would make the collector believe that much garbage is cheap: views are made for
// the pieces that need one, and all of them are detached before the mapping goes.
import { fstatSync } from "node:fs";
import { must, result } from "./errno.ts";
import { F_ADD_SEALS, F_SEAL_SHRINK, type Fd } from "./fd.ts";
import { addressOf, libc, viewOf } from "./libc.ts";
import { PROT_READ, PROT_WRITE } from "./mapping.ts";

const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const PAGE = process.arch === "x64" ? 4096 : 65_536; // arm64 kernels differ: the largest fits all
/** Dead views are forgotten when this many have been made since the last time. */
const SWEEP_AFTER = 256;

/** Why a descriptor cannot be mapped as asked, for the program that sent it. */
export class UnfitFile extends Error {
  override readonly name = "UnfitFile";
}

export class SharedRegion implements Disposable {
  /** Bytes that can be used. */
  readonly length: number;
  /** Where in the file the first of them is. */
  readonly offset: number;
  readonly #fd: Fd;
  readonly #reserved: { readonly at: number; readonly length: number };
  readonly #at: number;
  #views: WeakRef<ArrayBuffer>[] = [];
  #sweepAt = SWEEP_AFTER;
  #open = true;

  /**
   * Maps `length` bytes from `offset` of `fd`, which it takes over when it succeeds. Where the file can be sealed
   * it is kept from shrinking: touching what was cut off would end the process. Throws UnfitFile or SysError.
   */
  constructor(fd: Fd, offset: number, length: number) {
    const unit = checkFile(fd.number, offset, length);
    libc.fcntl(fd.number, F_ADD_SEALS, F_SEAL_SHRINK); // refused where sealing is not for us: then we trust
    const start = Math.floor(offset / unit) * unit;
    const mapped = Math.ceil((offset + length) / unit) * unit - start;
    this.#reserved = reserve(mapped + 2 * unit, fd.name);
    // The kernel aligns the reservation to pages; huge pages need theirs aligned to their own size.
    const at = Math.ceil((this.#reserved.at + 1) / unit) * unit;
    const flags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;
    const r = result(libc.mmap(at, mapped, PROT_READ | PROT_WRITE, flags, fd.number, start));
    if (r < 0) {
      libc.munmap(this.#reserved.at, this.#reserved.length);
      must(r, "mmap", `${fd.name} (${mapped} bytes from ${start})`);
    }
    this.#fd = fd;
    this.#at = at + (offset - start);
    this.offset = offset;
    this.length = length;
  }

  /** Address of the first byte. Throws once disposed. */
  get address(): number {
    if (!this.#open) throw new Error("the region is gone");
    return this.#at;
  }

  /** The file's descriptor, which stays the region's. */
  get fd(): number {
    return this.#fd.number;
  }

  /** A view of `length` bytes from `offset`; reads as empty once the region is disposed. Throws RangeError. */
  view(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const inside = offset >= 0 && length >= 1 && offset + length <= this.length;
    if (!inside) throw new RangeError(`${length} bytes at ${offset} of a region of ${this.length}`);
    const view = viewOf(this.address + offset, length);
    if (this.#views.length >= this.#sweepAt) {
      this.#views = this.#views.filter((known) => known.deref() !== undefined);
      this.#sweepAt = this.#views.length * 2 + SWEEP_AFTER;
    }
    this.#views.push(new WeakRef(view.buffer));
    return view;
  }

  /** Copies `length` bytes from `offset` to `to`, from its byte `at` on. Throws RangeError. */
  read(offset: number, length: number, to: Uint8Array<ArrayBuffer>, at: number): void {
    this.#check(offset, length, to, at);
    if (length > 0) libc.memcpy(addressOf(to) + at, this.address + offset, length);
  }

  /** Copies `length` bytes of `from`, from its byte `at` on, to `offset`. Throws RangeError. */
  write(offset: number, length: number, from: Uint8Array<ArrayBuffer>, at: number): void {
    this.#check(offset, length, from, at);
    if (length > 0) libc.memcpy(this.address + offset, addressOf(from) + at, length);
  }

  #check(offset: number, length: number, other: Uint8Array<ArrayBuffer>, at: number): void {
    const inside = offset >= 0 && length >= 0 && offset + length <= this.length;
    if (inside && at >= 0 && at + length <= other.byteLength) return;
    throw new RangeError(`${length} bytes at ${offset} of a region of ${this.length}`);
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    for (const view of this.#views) {
      const buffer = view.deref();
      if (buffer !== undefined && !buffer.detached) buffer.transfer(0);
    }
    this.#views = [];
    libc.munmap(this.#reserved.at, this.#reserved.length);
    this.#fd[Symbol.dispose]();
  }
}

/** The unit the file is mapped in; throws UnfitFile for what is no memory or does not hold the range. */
function checkFile(fd: number, offset: number, length: number): number {
  if (!Number.isSafeInteger(offset + length) || offset < 0 || length < 1) {
    throw new UnfitFile(`${length} bytes from ${offset} cannot be mapped`);
  }
  const file = fstatSync(fd);
  if (!file.isFile() && !file.isCharacterDevice()) throw new UnfitFile("it is no memory");
  if (file.isFile() && file.size < offset + length) {
    throw new UnfitFile(`${length} bytes from ${offset} are asked for, the file has ${file.size}`);
  }
  // A file of huge pages says their size as its block size; everything else maps by pages.
  return file.isFile() && file.blksize > 0x10_0000 ? file.blksize : PAGE;
}

function reserve(length: number, name: string): { at: number; length: number } {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  const at = must(result(libc.mmap(0, length, 0, flags, -1, 0)), "mmap", name);
  return { at, length };
}
