// A part of another program's file, mapped shared between two guard pages. It can be larger than the largest view, and a view
// of gigabytes would disturb the garbage collector's accounting. So views are made for small parts, and all of them are
// detached before munmap.
import { fstatSync } from "node:fs";
import { AddressRange, MAP_NORESERVE } from "./address-range.ts";
import { errno, must } from "./errno.ts";
import { F_ADD_SEALS, F_SEAL_SHRINK, type Fd } from "./fd.ts";
import { addressOf, libc, viewOf } from "./libc.ts";

const PAGE = process.arch === "x64" ? 4096 : 65_536; // arm64 kernels have 4, 16 or 64 KiB; 64 KiB suits all
/** Devices of this major number are /dev/zero, /dev/mem and the like: no guest memory, or this program's own. <linux/major.h> */
const MEM_MAJOR = 1;
/** Collected views are removed from the list after this many new ones. */
const SWEEP_AFTER = 256;

/** The descriptor that a peer sent cannot be mapped as the peer wants. */
export class UnfitFile extends Error {
  override readonly name = "UnfitFile";
}

export class SharedRegion implements Disposable {
  /** Bytes of the region. */
  readonly length: number;
  /** Offset of the region in the file. */
  readonly offset: number;
  readonly #fd: Fd;
  readonly #range: AddressRange;
  readonly #at: number;
  #views: WeakRef<ArrayBuffer>[] = [];
  #sweepAt = SWEEP_AFTER;
  #open = true;

  /**
   * Maps `length` bytes from `offset` of `fd`. Takes ownership of `fd` if it succeeds. Seals the file against shrinking if
   * it can be sealed: access beyond the end of the file would be SIGBUS. Throws UnfitFile or SysError.
   */
  constructor(fd: Fd, offset: number, length: number) {
    // Before the size is checked, so that it cannot change in between. Refused for what is no memfd, or sealed already.
    libc.fcntl(fd.number, F_ADD_SEALS, F_SEAL_SHRINK);
    const unit = checkFile(fd.number, offset, length);
    const start = Math.floor(offset / unit) * unit;
    const mapped = Math.ceil((offset + length) / unit) * unit - start;
    using owned = new DisposableStack();
    const range = owned.use(new AddressRange(mapped + 2 * unit, fd.name));
    // The reservation is aligned to pages; huge pages must be aligned to their size.
    const at = Math.ceil((range.address + 1) / unit) * unit;
    // Huge pages are reserved, or refused with ENOMEM: where they are missing, the first access would be SIGBUS.
    const r = range.map(at, mapped, fd.number, start, unit === PAGE ? MAP_NORESERVE : 0);
    if (r === -errno.ENOMEM && unit !== PAGE) {
      throw new UnfitFile(
        `the host has too few free huge pages for ${mapped} bytes: raise vm.nr_hugepages`,
      );
    }
    must(r, "mmap", `${fd.name} (${mapped} bytes from ${start})`);
    range.omitFromDumps();
    owned.move();
    this.#range = range;
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

  /** The file's descriptor. The region still owns it. */
  get fd(): number {
    return this.#fd.number;
  }

  /** A view of `length` bytes from `offset`. Reads as empty once the region is disposed. Throws RangeError. */
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

  /** Copies `length` bytes from `offset` to byte `at` of `to`. Throws RangeError. */
  read(offset: number, length: number, to: Uint8Array<ArrayBuffer>, at: number): void {
    this.#check(offset, length, to, at);
    if (length > 0) libc.memcpy(addressOf(to) + at, this.address + offset, length);
  }

  /** Copies `length` bytes from byte `at` of `from` to `offset`. Throws RangeError. */
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
    this.#range[Symbol.dispose]();
    this.#fd[Symbol.dispose]();
  }
}

/** The page size of the file. Throws UnfitFile if it is not a file or device, or does not contain the range. */
function checkFile(fd: number, offset: number, length: number): number {
  if (!Number.isSafeInteger(offset + length) || offset < 0 || length < 1) {
    throw new UnfitFile(`${length} bytes from ${offset} cannot be mapped`);
  }
  const file = fstatSync(fd);
  const isDevice = file.isCharacterDevice() && major(file.rdev) !== MEM_MAJOR;
  if (!file.isFile() && !isDevice) throw new UnfitFile("it is no memory");
  if (file.isFile() && file.size < offset + length) {
    throw new UnfitFile(`${length} bytes from ${offset} are asked for, the file has ${file.size}`);
  }
  // The block size of a hugetlbfs file is its page size.
  return file.isFile() && file.blksize > 0x10_0000 ? file.blksize : PAGE;
}

const major = (device: number): number => (device >> 8) & 0xfff;
