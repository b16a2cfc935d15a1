// Guest memory as monitors make it: a memfd, mapped here for the driver and passed to the back-end in regions.
import { Fd } from "../../../ffi/fd.ts";
import { Mapping } from "../../../ffi/mapping.ts";
import type { RegionRow } from "../../../src/vhost/memory.ts";

export const MIB = 1 << 20;
/** Bytes of the file before, between and after the regions. The back-end must not write there. */
const MARGIN = 65_536;
const CANARY = 0xc5;
const canary = new Uint8Array(MARGIN).fill(CANARY);

/** Guest address and length of a region. */
export interface Place {
  readonly guest: number;
  readonly size: number;
}

export class GuestRam implements Disposable {
  readonly fd: Fd;
  readonly rows: readonly RegionRow[];
  readonly #mapping: Mapping;
  #next: number;
  /** Offset in the file of the first byte that is mapped here. */
  #from = 0;

  /** Regions with the layout of a monitor, without margins. The last 4 GiB of the file are mapped here. */
  static sparse(rows: readonly RegionRow[]): GuestRam {
    return new GuestRam([], 0n, rows);
  }

  /** Regions at those places, with margins around them in the file. `user` is the address of the first in the front-end. */
  constructor(
    places: readonly Place[] = [{ guest: 0, size: 4 * MIB }],
    user = 0x7f12_0000_0000n,
    exactly?: readonly RegionRow[],
  ) {
    if (exactly !== undefined) {
      const end = exactly.reduce(
        (most, { offset, size }) => Math.max(most, Number(offset + size)),
        0,
      );
      this.fd = Fd.memory("guest-ram", end);
      this.#from = Math.max(0, end - 4095 * MIB);
      const length = end - this.#from;
      this.#mapping = new Mapping(this.fd.number, length, "guest-ram", undefined, this.#from);
      this.rows = exactly;
      this.#next = 0;
      for (const { guest, offset, size } of exactly) {
        const within = this.#from - Number(offset);
        if (within >= 0 && within < Number(size)) this.#next = Number(guest) + within;
      }
      this.#next += MARGIN;
      return;
    }
    const length = places.reduce((sum, { size }) => sum + size + MARGIN, MARGIN);
    this.fd = Fd.memory("guest-ram", length);
    this.#mapping = new Mapping(this.fd.number, length, "guest-ram");
    let offset = MARGIN;
    let at = user;
    this.rows = places.map(({ guest, size }) => {
      const row = {
        guest: BigInt(guest),
        size: BigInt(size),
        user: at,
        offset: BigInt(offset),
      };
      this.#fillMargin(offset - MARGIN);
      offset += size + MARGIN;
      at += BigInt(size) + 0x100_0000n;
      return row;
    });
    this.#fillMargin(offset - MARGIN);
    this.#next = (places[0]?.guest ?? 0) + 4096;
  }

  #fillMargin(from: number): void {
    this.#mapping.bytes.fill(CANARY, from, from + MARGIN);
  }

  /** Whether the bytes outside the regions are unchanged. */
  get marginsIntact(): boolean {
    let from = 0;
    for (const end of [...this.rows.map(({ offset }) => Number(offset)), this.#mapping.length]) {
      const margin = this.#mapping.bytes.subarray(from, end);
      if (margin.length > 0 && Buffer.compare(margin, canary.subarray(0, margin.length)) !== 0)
        return false;
      const row = this.rows.find(({ offset }) => Number(offset) === end);
      from = end + Number(row?.size ?? 0);
    }
    return true;
  }

  /** Offset in the file of a guest address, which must be in a region. */
  #offset(guest: number): number {
    for (const row of this.rows) {
      const within = guest - Number(row.guest);
      if (within >= 0 && within < Number(row.size)) return Number(row.offset) + within - this.#from;
    }
    throw new RangeError(`0x${guest.toString(16)} is not guest memory`);
  }

  /** The bytes at a guest address, as the guest sees them. */
  bytes(guest: number, length: number): Uint8Array<ArrayBuffer> {
    const at = this.#offset(guest);
    return this.#mapping.bytes.subarray(at, at + length);
  }

  view(guest: number, length: number): DataView<ArrayBuffer> {
    return new DataView(this.#mapping.bytes.buffer, this.#offset(guest), length);
  }

  /** The address in the front-end of a guest address. */
  user(guest: number): bigint {
    for (const row of this.rows) {
      const within = BigInt(guest) - row.guest;
      if (within >= 0n && within < row.size) return row.user + within;
    }
    throw new RangeError(`0x${guest.toString(16)} is not guest memory`);
  }

  /** The guest address of an address in the front-end. */
  guestOf(user: bigint): number {
    for (const row of this.rows) {
      const within = user - row.user;
      if (within >= 0n && within < row.size) return Number(row.guest + within);
    }
    throw new RangeError(`0x${user.toString(16)} is in no region`);
  }

  /** Allocates `length` zeroed bytes of guest memory. Returns their guest address. */
  allocate(length: number, align = 16): number {
    const at = Math.ceil(this.#next / align) * align;
    this.#next = at + length;
    this.bytes(at, 1);
    this.bytes(at + Math.max(length, 1) - 1, 1);
    this.bytes(at, length).fill(0);
    return at;
  }

  /** Copies bytes to newly allocated guest memory. Returns their guest address. */
  place(bytes: Uint8Array): number {
    const at = this.allocate(Math.max(1, bytes.length));
    this.bytes(at, bytes.length).set(bytes);
    return at;
  }

  /** The position of allocation. Setting it back frees what was allocated after it. */
  get mark(): number {
    return this.#next;
  }
  set mark(value: number) {
    this.#next = value;
  }

  [Symbol.dispose](): void {
    this.#mapping[Symbol.dispose]();
    this.fd[Symbol.dispose]();
  }
}
