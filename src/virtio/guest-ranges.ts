// Guest memory that a driver names by a list of ranges, and where they are in host memory. A list may have tens of thousands of
// ranges, so they are numbers in typed arrays, and neighbours are one range.
import type { FilePiece } from "../../ffi/file-pieces.ts";
import { struct, u32, u64 } from "../../ffi/struct.ts";
import type { GuestMemory } from "./virtio-device.ts";

/** An entry of such a list, the same in virtio-video (virtio_video_mem_entry) and in virtio-media (virtio_media_sg_entry). */
export const memEntry = struct(
  "struct virtio_video_mem_entry",
  16,
  { addr: u64(0), length: u32(8) },
  "little",
);

/** Bytes of one plane. */
export const MAX_PLANE_BYTES = 256 * 1024 * 1024;
/** Ranges that all resources of a connection may have together, neighbours counted as one. Each costs up to 24 bytes. */
export const MAX_RANGES = 1 << 19;
/**
 * Places where ranges may cross from one memory region to the next: one more than there are regions. Ranges that overlap could
 * cross more often, but no driver makes such.
 */
const MAX_CROSSINGS = 33;
/** From this number on the upper half of an address does not fit into a double; no machine has such memory. */
const HIGHEST = 1 << 21;

const LENGTH_AT = memEntry.fields.length.offset;

/** Where ranges are looked up before their number is known: used again, because a guest may create without end. */
let scratch = { host: new Float64Array(64), starts: new Uint32Array(65) };

/** The address in an entry; NaN for one that no machine has. */
function addressAt(view: DataView, at: number): number {
  const high = view.getUint32(at + 4, true);
  return high < HIGHEST ? high * 2 ** 32 + view.getUint32(at, true) : Number.NaN;
}

/** The entries of a RESOURCE_CREATE: how many ranges they make, and the bytes of each plane. */
export interface Measured {
  readonly ranges: number;
  readonly lengths: readonly number[];
}

/**
 * Checks and measures the entries from byte `from` on; `counts` has those of each plane. Answers what is wrong with them as a
 * text.
 */
export function measure(
  view: DataView,
  from: number,
  counts: readonly number[],
): Measured | string {
  let ranges = 0;
  let end = Number.NaN;
  let at = from;
  const lengths: number[] = [];
  for (const count of counts) {
    let bytes = 0;
    for (let i = 0; i < count; i++, at += memEntry.size) {
      const address = addressAt(view, at);
      const length = view.getUint32(at + LENGTH_AT, true);
      if (length === 0) return "a range is empty";
      bytes += length;
      if (bytes > MAX_PLANE_BYTES) return "a plane is longer than 256 MiB";
      if (address !== end) ranges += 1;
      end = address + length;
    }
    lengths.push(bytes);
  }
  return { ranges, lengths };
}

export class GuestRanges {
  /** Ranges, neighbours counted as one. */
  readonly count: number;
  /** Bytes of all of them. */
  readonly length: number;
  readonly #guest: Float64Array<ArrayBuffer>;
  /** The byte of the resource with which each range begins; one more entry is the end. */
  readonly #guestStarts: Uint32Array<ArrayBuffer>;
  // The same for pieces of host memory. There are none when the memory is not there.
  #host = new Float64Array(0);
  #hostStarts = new Uint32Array(1);
  #moved = true;

  /** Reads `entries` entries that were measured. */
  constructor(view: DataView, from: number, entries: number, { ranges, lengths }: Measured) {
    this.count = ranges;
    this.length = lengths.reduce((sum, length) => sum + length, 0);
    this.#guest = new Float64Array(ranges);
    this.#guestStarts = new Uint32Array(ranges + 1);
    let range = -1;
    let start = 0;
    let end = Number.NaN;
    for (let i = 0, at = from; i < entries; i++, at += memEntry.size) {
      const address = addressAt(view, at);
      const length = view.getUint32(at + LENGTH_AT, true);
      if (address !== end) {
        range += 1;
        this.#guest[range] = address;
        this.#guestStarts[range] = start;
      }
      end = address + length;
      start += length;
    }
    this.#guestStarts[ranges] = start;
  }

  /** The last `resolve` found other host memory than the one before it. */
  get moved(): boolean {
    return this.#moved;
  }
  /** Pieces of host memory; 0 when the memory is not there. */
  get pieces(): number {
    return this.#host.length;
  }
  /** The host address of a piece. */
  address(piece: number): number {
    return this.#host[piece] ?? 0;
  }
  /** The byte of the resource with which a piece begins. */
  start(piece: number): number {
    return this.#hostStarts[piece] ?? 0;
  }

  /** Looks the ranges up. False when a byte is outside guest memory; then there are no pieces. */
  resolve(memory: GuestMemory): boolean {
    const most = this.count + MAX_CROSSINGS;
    if (scratch.host.length < most)
      scratch = { host: new Float64Array(most), starts: new Uint32Array(most + 1) };
    const { host, starts } = scratch;
    let pieces = 0;
    let end = Number.NaN;
    const add = (address: number, length: number, start: number): boolean => {
      if (address !== end) {
        if (pieces === most) return false;
        host[pieces] = address;
        starts[pieces] = start;
        pieces += 1;
      }
      end = address + length;
      return true;
    };
    let whole = true;
    for (let i = 0; i < this.count && whole; i++) {
      const guest = this.#guest[i] ?? Number.NaN;
      const start = this.#guestStarts[i] ?? 0;
      const length = (this.#guestStarts[i + 1] ?? 0) - start;
      const address = memory.place(guest, length);
      whole = address >= 0 ? add(address, length, start) : cross(memory, guest, length, start, add);
    }
    starts[pieces] = this.length;
    if (!whole) pieces = 0;
    this.#moved = !this.#isAt(host, starts, pieces);
    if (!this.#moved) return whole;
    this.#host = host.slice(0, pieces);
    this.#hostStarts = whole ? starts.slice(0, pieces + 1) : new Uint32Array(1);
    return whole;
  }

  #isAt(host: Float64Array, starts: Uint32Array, pieces: number): boolean {
    if (this.#host.length !== pieces) return false;
    for (let i = 0; i < pieces; i++)
      if (this.#host[i] !== host[i] || this.#hostStarts[i] !== starts[i]) return false;
    return true;
  }

  /** The parts of the guest's memory files that hold the ranges, in their order. Empty when the memory is not there. */
  filePieces(memory: GuestMemory): readonly FilePiece[] {
    const pieces: FilePiece[] = [];
    for (let i = 0; i < this.count; i++) {
      const length = (this.#guestStarts[i + 1] ?? 0) - (this.#guestStarts[i] ?? 0);
      const spans = memory.resolve(BigInt(this.#guest[i] ?? 0), BigInt(length));
      if (spans === undefined) return [];
      for (const { fd, offset, length } of spans) pieces.push({ fd, offset, length });
    }
    return pieces;
  }

  /** Frees the tables now and not at the next garbage collection: a guest may replace resources without end. */
  drop(): void {
    for (const { buffer } of [this.#guest, this.#guestStarts, this.#host, this.#hostStarts])
      buffer.transfer(0);
  }

  /** The piece that holds byte `at`. */
  find(at: number): number {
    let low = 0;
    let high = this.#host.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#hostStarts[middle] ?? 0) <= at) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** Adds a range that is not in one region. */
function cross(
  memory: GuestMemory,
  guest: number,
  length: number,
  start: number,
  add: (address: number, length: number, start: number) => boolean,
): boolean {
  const spans = Number.isNaN(guest) ? undefined : memory.resolve(BigInt(guest), BigInt(length));
  if (spans === undefined) return false;
  let at = start;
  for (const span of spans) {
    if (!add(span.address, span.length, at)) return false;
    at += span.length;
  }
  return true;
}
