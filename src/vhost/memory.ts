// The memory table: regions of guest memory that the front-end passed. Only this file turns guest physical addresses into
// host memory; it checks the whole range. vhost-user: SET_MEM_TABLE, ADD_MEM_REG, REM_MEM_REG.
import type { Fd } from "../../ffi/fd.ts";
import { SharedRegion } from "../../ffi/shared-region.ts";
import type { GuestAccess } from "../virtio/chain.ts";
import type { GuestMemory, Span } from "../virtio/virtio-device.ts";
import { asRefused, RequestRefused } from "./request-refused.ts";

/** Most regions at a time, and most in one message. */
export const MAX_REGIONS = 32;
/** The same for a device with a shared memory region: QEMU adds each buffer that it maps there to the memory table. */
export const MAX_REGIONS_WITH_BUFFERS = 256;
/** Longer spans are cut into pieces of this size, because a view cannot be longer. */
const LONGEST_SPAN = 0x4000_0000;
const LARGEST = BigInt(Number.MAX_SAFE_INTEGER);
const END_OF_ADDRESSES = 1n << 64n;

/** A region as messages describe it. */
export interface RegionRow {
  readonly guest: bigint;
  readonly size: bigint;
  readonly user: bigint;
  readonly offset: bigint;
}

interface Region extends RegionRow {
  readonly memory: SharedRegion;
  /** The guest address and the size as numbers. */
  readonly at: number;
  readonly length: number;
}

export class MemoryTable implements GuestMemory, GuestAccess, Disposable {
  /** Most regions at a time: the answer to GET_MAX_MEM_SLOTS. */
  most = MAX_REGIONS;
  #regions: readonly Region[] = [];
  #generation = 0;

  get generation(): number {
    return this.#generation;
  }
  get size(): number {
    return this.#regions.length;
  }

  /**
   * Replaces the table. Owns `fds`. Calls `before` when the new table is in force and the old one is still mapped. Throws
   * RequestRefused, and then nothing has changed.
   */
  replace(rows: readonly RegionRow[], fds: readonly Fd[], before: () => void): void {
    using owned = new DisposableStack();
    for (const fd of fds) owned.use(fd);
    if (rows.length < 1 || rows.length > MAX_REGIONS) {
      throw new RequestRefused(`${rows.length} memory regions, 1 to ${MAX_REGIONS} are possible`);
    }
    if (fds.length !== rows.length) {
      throw new RequestRefused(`${rows.length} memory regions with ${fds.length} descriptors`);
    }
    const made: Region[] = [];
    for (const [i, row] of rows.entries()) {
      const fd = fds[i];
      if (fd === undefined) continue;
      const region = map(row, fd, made);
      owned.use(region.memory); // a descriptor may be disposed twice
      made.push(region);
    }
    owned.move();
    this.#put(made, this.#regions, before);
  }

  /** Adds a region and owns `fd`. Throws RequestRefused. */
  add(row: RegionRow, fd: Fd, before: () => void): void {
    using owned = new DisposableStack();
    owned.use(fd);
    if (this.#regions.length >= this.most)
      throw new RequestRefused(`more than ${this.most} regions`);
    const region = map(row, fd, this.#regions);
    owned.move();
    this.#put([...this.#regions, region], [], before);
  }

  /** Removes the region with exactly these addresses and size; `offset` is ignored. Throws RequestRefused. */
  remove(row: RegionRow, before: () => void): void {
    const gone = this.#find(row);
    this.#put(
      this.#regions.filter((region) => region !== gone),
      [gone],
      before,
    );
  }

  /** Whether `length` bytes at `user` overlap the region that `row` names. Throws RequestRefused when there is none. */
  holds(row: RegionRow, user: bigint, length: number): boolean {
    const { user: from, size } = this.#find(row);
    return user < from + size && user + BigInt(length) > from;
  }

  #find(row: RegionRow): Region {
    const found = this.#regions.find(
      ({ guest, user, size }) => guest === row.guest && user === row.user && size === row.size,
    );
    if (found === undefined) throw new RequestRefused(`no memory region at ${hex(row.guest)}`);
    return found;
  }

  #put(regions: readonly Region[], gone: readonly Region[], before: () => void): void {
    this.#regions = regions;
    this.#generation += 1;
    try {
      before();
    } finally {
      for (const { memory } of gone) memory[Symbol.dispose]();
    }
  }

  /** Host memory of an area given by an address of the front-end. Undefined unless one region holds all of it. */
  user(address: bigint, length: number): { region: SharedRegion; offset: number } | undefined {
    for (const { user, size, memory } of this.#regions) {
      if (address < user || address + BigInt(length) > user + size) continue;
      return { region: memory, offset: Number(address - user) };
    }
    return undefined;
  }

  resolve(address: bigint, length: bigint): readonly Span[] | undefined {
    if (address < 0n || length < 1n || address + length > LARGEST) return undefined;
    const spans: Span[] = [];
    const whole = this.#each(Number(address), Number(length), (region, offset, count) => {
      for (let done = 0; done < count; done += LONGEST_SPAN) {
        spans.push(new RegionSpan(region, offset + done, Math.min(LONGEST_SPAN, count - done)));
      }
    });
    return whole ? spans : undefined;
  }

  place(address: number, length: number): number {
    for (const { at, memory } of this.#regions) {
      const offset = address - at;
      if (offset >= 0 && offset + length <= memory.length) return memory.address + offset;
    }
    return -1;
  }

  /** The region that has all of a range; undefined where none or only several together have it. */
  #whole(address: number, length: number): Region | undefined {
    const regions = this.#regions;
    for (let i = 0; i < regions.length; i++) {
      const region = regions[i] as Region;
      const offset = address - region.at;
      if (offset >= 0 && offset + length <= region.length) return region;
    }
    return undefined;
  }

  contains(address: number, length: number): boolean {
    return this.#whole(address, length) !== undefined || this.#each(address, length, nothing);
  }

  read(address: number, length: number, to: Uint8Array<ArrayBuffer>, at: number): boolean {
    const whole = this.#whole(address, length);
    if (whole !== undefined) {
      whole.memory.read(address - whole.at, length, to, at);
      return true;
    }
    if (!this.contains(address, length)) return false;
    let done = at;
    return this.#each(address, length, (region, offset, count) => {
      region.read(offset, count, to, done);
      done += count;
    });
  }

  write(address: number, length: number, from: Uint8Array<ArrayBuffer>, at: number): boolean {
    const whole = this.#whole(address, length);
    if (whole !== undefined) {
      whole.memory.write(address - whole.at, length, from, at);
      return true;
    }
    if (!this.contains(address, length)) return false;
    let done = at;
    return this.#each(address, length, (region, offset, count) => {
      region.write(offset, count, from, done);
      done += count;
    });
  }

  /** Calls `piece` for the part of a guest range in each region, in order. Ends with false at the first byte in no region. */
  #each(
    address: number,
    length: number,
    piece: (region: SharedRegion, offset: number, count: number) => void,
  ): boolean {
    let at = address;
    let left = length;
    while (left > 0) {
      let count = 0;
      for (const region of this.#regions) {
        const offset = at - region.at;
        if (offset < 0 || offset >= region.memory.length) continue;
        count = Math.min(left, region.memory.length - offset);
        piece(region.memory, offset, count);
        break;
      }
      if (count === 0) return false;
      at += count;
      left -= count;
    }
    return true;
  }

  [Symbol.dispose](): void {
    const gone = this.#regions;
    this.#regions = [];
    this.#generation += 1;
    for (const { memory } of gone) memory[Symbol.dispose]();
  }
}

const nothing = () => undefined;

/** A span whose view is made at its first use. */
class RegionSpan implements Span {
  readonly length: number;
  readonly #region: SharedRegion;
  readonly #offset: number;
  #bytes: Uint8Array<ArrayBuffer> | undefined;
  constructor(region: SharedRegion, offset: number, length: number) {
    this.#region = region;
    this.#offset = offset;
    this.length = length;
  }
  get address(): number {
    return this.#region.address + this.#offset;
  }
  get bytes(): Uint8Array<ArrayBuffer> {
    this.#bytes ??= this.#region.view(this.#offset, this.length);
    return this.#bytes;
  }
  get fd(): number {
    return this.#region.fd;
  }
  get offset(): number {
    return this.#region.offset + this.#offset;
  }
}

/** Checks a row alone and against the other regions, and maps it. Throws RequestRefused. */
function map(row: RegionRow, fd: Fd, others: readonly RegionRow[]): Region {
  const { guest, size, user, offset } = row;
  const at = `memory region ${hex(guest)} + ${hex(size)}`;
  if (size === 0n) throw new RequestRefused(`${at} is empty`);
  // Guest addresses beyond 2^53 are refused, too: no machine has them.
  const fits = guest + size <= LARGEST && offset + size <= LARGEST;
  if (!fits || user + size > END_OF_ADDRESSES) throw new RequestRefused(`${at} wraps around`);
  for (const other of others) {
    const overlap = (a: bigint, b: bigint) => a < b + other.size && b < a + size;
    if (overlap(guest, other.guest) || overlap(user, other.user)) {
      throw new RequestRefused(`${at} overlaps ${hex(other.guest)} + ${hex(other.size)}`);
    }
  }
  try {
    const memory = new SharedRegion(fd, Number(offset), Number(size));
    return { ...row, memory, at: Number(guest), length: Number(size) };
  } catch (error) {
    throw asRefused(error, `${at}: `) ?? error;
  }
}

const hex = (value: bigint) => `0x${value.toString(16)}`;
