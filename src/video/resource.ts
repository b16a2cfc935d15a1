// A resource: guest memory that the driver describes once and queues many times. Its host memory is looked up when it is
// created and when the memory table changes, not per frame.
import { copyMemory } from "../../ffi/copy.ts";
import { type GuestMemory, MAX_REQUEST_BYTES, type Request } from "../virtio/virtio-device.ts";
import type { GuestRanges } from "./guest-ranges.ts";
import { MAX_PLANES, memEntry, resourceCreate, VideoError } from "./structs.ts";

/** Entries of one resource: as many as a request can hold. */
export const MAX_ENTRIES = Math.floor((MAX_REQUEST_BYTES - resourceCreate.size) / memEntry.size);

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
  readonly #ranges: GuestRanges;
  #memory: GuestMemory;
  /** The generation of the memory table in which the ranges were looked up. */
  #generation = -1;
  #placed: { readonly colour: readonly Plane[]; readonly at: readonly number[] } | undefined;

  /** Throws VideoError when a range is outside guest memory. */
  constructor(id: number, ranges: GuestRanges, planes: readonly Plane[], memory: GuestMemory) {
    this.id = id;
    this.#ranges = ranges;
    this.#memory = memory;
    this.planes = planes;
    this.length = ranges.length;
    if (!this.resolve(memory))
      throw new VideoError("ERR_INVALID_PARAMETER", "a range is not in the guest's memory");
  }

  /** Ranges it has, for the limit of the connection. */
  get ranges(): number {
    return this.#ranges.count;
  }

  /** Looks its memory up in a new table. False when it is not there any more; then the resource has no memory. */
  resolve(memory: GuestMemory): boolean {
    this.#memory = memory;
    this.#generation = memory.generation;
    return this.#ranges.resolve(memory);
  }

  /** Whether its memory is no longer in the memory table. */
  get gone(): boolean {
    return this.#ranges.pieces === 0;
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
    const oneStretch = this.#ranges.pieces === 1 && this.planes.length === 1;
    return oneStretch && this.planes[0]?.offset === 0 ? this.#ranges.address(0) : undefined;
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
    if (at + length > this.length || this.gone) return false;
    // Another table is in force: the memory may be unmapped.
    if (this.#memory.generation !== this.#generation) return false;
    const ranges = this.#ranges;
    let done = 0;
    for (let i = at === 0 ? 0 : ranges.find(at); done < length; i++) {
      const within = at + done - ranges.start(i);
      const n = Math.min(length - done, ranges.start(i + 1) - ranges.start(i) - within);
      if (into) copyMemory(ranges.address(i) + within, host + done, n);
      else copyMemory(host + done, ranges.address(i) + within, n);
      done += n;
    }
    return true;
  }
}
