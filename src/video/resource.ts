// A resource: guest memory that the driver describes once and queues many times. Its host memory is looked up when it is
// created and when the memory table changes, not per frame.
import { copyMemory } from "../../ffi/copy.ts";
import {
  type GuestMemory,
  MAX_REQUEST_BYTES,
  type Request,
  type Span,
} from "../virtio/virtio-device.ts";
import { MAX_PLANES, memEntry, resourceCreate, VideoError } from "./structs.ts";

/** Entries of one resource: as many as a request can hold. */
export const MAX_ENTRIES = Math.floor((MAX_REQUEST_BYTES - resourceCreate.size) / memEntry.size);
/** Bytes of one plane. */
export const MAX_PLANE_BYTES = 256 * 1024 * 1024;

/** A range of guest physical memory. */
export interface Entry {
  readonly address: bigint;
  readonly length: number;
}

/** Position of a plane in the resource. */
export interface Plane {
  readonly offset: number;
  readonly length: number;
}

export class Resource {
  readonly id: number;
  /** Bytes of all entries. */
  readonly length: number;
  readonly planes: readonly Plane[];
  /** The RESOURCE_QUEUE that has not been answered. */
  request: Request | undefined;
  timestamp = 0n;
  /** Valid bytes of each plane of a queued bitstream. */
  readonly sizes = new Array<number>(MAX_PLANES).fill(0);
  readonly #entries: readonly Entry[];
  #spans: readonly Span[] = [];
  /** Byte of the resource at which each span begins. */
  #starts: readonly number[] = [];
  #placed: { readonly colour: readonly Plane[]; readonly at: readonly number[] } | undefined;

  /** Throws VideoError when an entry is outside guest memory. */
  constructor(
    id: number,
    entries: readonly Entry[],
    planes: readonly Plane[],
    memory: GuestMemory,
  ) {
    this.id = id;
    this.#entries = entries;
    this.planes = planes;
    this.length = entries.reduce((sum, { length }) => sum + length, 0);
    if (!this.resolve(memory)) throw new VideoError("ERR_INVALID_PARAMETER");
  }

  /** Looks its memory up in a new table. False when it is not there any more; then the resource has no memory. */
  resolve(memory: GuestMemory): boolean {
    const spans: Span[] = [];
    for (const { address, length } of this.#entries) {
      const found = memory.resolve(address, BigInt(length));
      if (found === undefined) {
        this.#spans = [];
        this.#starts = [];
        return false;
      }
      spans.push(...found);
    }
    let at = 0;
    this.#starts = spans.map(({ length }) => {
      at += length;
      return at - length;
    });
    this.#spans = spans;
    return true;
  }

  /** Whether its memory is no longer in the memory table. */
  get gone(): boolean {
    return this.#spans.length === 0;
  }

  /** The largest picture it can take, in bytes. */
  get room(): number {
    return this.planes.length === 1 ? (this.planes[0]?.length ?? 0) : this.length;
  }

  /**
   * Positions in the resource for the colour planes `colour` of a picture: each in a plane of its own if the driver gave as
   * many and large enough planes, otherwise one after the other.
   */
  places(colour: readonly Plane[]): readonly number[] {
    if (this.#placed?.colour === colour) return this.#placed.at;
    const own =
      this.planes.length === colour.length &&
      colour.every(({ length }, i) => length <= (this.planes[i]?.length ?? 0));
    const base = this.planes.length === 1 ? (this.planes[0]?.offset ?? 0) : 0;
    const at = colour.map(({ offset }, i) => (own ? (this.planes[i]?.offset ?? 0) : base + offset));
    this.#placed = { colour, at };
    return at;
  }

  get queued(): boolean {
    return this.request !== undefined;
  }

  /** Bytes of bitstream in it. */
  get size(): number {
    let sum = 0;
    for (let i = 0; i < this.planes.length; i++) sum += this.sizes[i] ?? 0;
    return sum;
  }

  /**
   * The address of its memory if that is contiguous host memory with one plane that begins at its start. Otherwise
   * undefined.
   */
  get contiguous(): number | undefined {
    const first = this.#spans[0];
    if (first === undefined || first.bytes.byteLength === 0 || this.planes.length !== 1)
      return undefined;
    if (this.planes[0]?.offset !== 0) return undefined;
    let end = first.address;
    for (const span of this.#spans) {
      if (span.address !== end) return undefined;
      end += span.length;
    }
    return first.address;
  }

  /** Copies `length` bytes from host memory to byte `at` of the resource. False when they do not fit or its memory is gone. */
  write(from: number, length: number, at: number): boolean {
    return this.#copy(from, length, at, true);
  }

  /** Copies `length` bytes from byte `at` of the resource to host memory. False when it is shorter or its memory is gone. */
  read(to: number, length: number, at: number): boolean {
    return this.#copy(to, length, at, false);
  }

  #copy(host: number, length: number, at: number, into: boolean): boolean {
    if (length === 0) return true;
    if (at + length > this.length) return false;
    let rest = length;
    for (let i = this.#find(at); rest > 0; i++) {
      const span = this.#spans[i];
      // A detached view: the memory was unmapped.
      if (span === undefined || span.bytes.byteLength !== span.length) return false;
      const within = at + (length - rest) - (this.#starts[i] ?? 0);
      const n = Math.min(rest, span.length - within);
      const done = length - rest;
      if (into) copyMemory(span.address + within, host + done, n);
      else copyMemory(host + done, span.address + within, n);
      rest -= n;
    }
    return true;
  }

  /** The span that holds byte `at`. */
  #find(at: number): number {
    if (at === 0) return 0;
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#starts[middle] ?? 0) <= at) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
