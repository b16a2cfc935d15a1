// A resource: guest memory that the driver describes once and queues many times. Its host memory is looked up when it is
// created and when the memory table changes, not per frame. It is made into one stretch when a decoder asks for that first.
import { copyMemory } from "../../ffi/copy.ts";
import { type GuestRanges, memEntry } from "../virtio/guest-ranges.ts";
import { type GuestMemory, MAX_REQUEST_BYTES, type Request } from "../virtio/virtio-device.ts";
import type { Spare, Stretch, Stretches, Way } from "./stretches.ts";
import { MAX_PLANES, resourceCreate, VideoError } from "./structs.ts";

/** Entries of one resource: as many as a request can hold. */
export const MAX_ENTRIES = Math.floor((MAX_REQUEST_BYTES - resourceCreate.size) / memEntry.size);

/** Position of a plane in the resource. */
export interface Plane {
  readonly offset: number;
  readonly length: number;
}

export interface ResourceOptions {
  readonly id: number;
  readonly ranges: GuestRanges;
  readonly planes: readonly Plane[];
  readonly memory: GuestMemory;
  readonly stretches: Stretches;
}

export class Resource {
  readonly id: number;
  /** Bytes of all entries. */
  readonly length: number;
  readonly planes: readonly Plane[];
  /** The RESOURCE_QUEUE that has not been answered. */
  request: Request | undefined;
  /** When it was queued: a running number of its queue. */
  turn = 0;
  timestamp = 0n;
  /** Valid bytes of each plane of a queued bitstream. */
  readonly sizes = new Array<number>(MAX_PLANES).fill(0);
  readonly #ranges: GuestRanges;
  #memory: GuestMemory;
  /** The generation of the memory table in which the ranges were looked up. */
  #generation = -1;
  #placed: { readonly colour: readonly Plane[]; readonly at: readonly number[] } | undefined;
  readonly #stretches: Stretches;
  #stretch: Stretch | undefined;
  /** What `handle` was asked for last, and its answer. */
  #way: Way | undefined;
  #handle = 0;
  #apart = "";

  /** Throws VideoError when a range is outside guest memory. */
  constructor(options: ResourceOptions) {
    const { id, ranges, planes, memory, stretches } = options;
    this.id = id;
    this.#ranges = ranges;
    this.#memory = memory;
    this.#stretches = stretches;
    this.planes = planes;
    this.length = ranges.length;
    if (!this.#lookUp(memory))
      throw new VideoError("ERR_INVALID_PARAMETER", "a range is not in the guest's memory");
  }

  /** Ranges it has, for the limit of the connection. */
  get ranges(): number {
    return this.#ranges.count;
  }

  /** The driver has replaced or destroyed it: it has no memory any more. */
  drop(): void {
    this.release();
    this.#ranges.drop();
  }

  /**
   * Looks its memory up in a new table; it has none when the table lacks it. True when it is in another place than before.
   * Then its stretch goes to `old`: the decoder may still use it.
   */
  resolve(memory: GuestMemory, old: DisposableStack): boolean {
    this.#lookUp(memory);
    if (!this.#ranges.moved) return false;
    if (this.#stretch !== undefined) old.use(this.#stretch);
    this.#stretch = undefined;
    this.#way = undefined;
    return true;
  }

  #lookUp(memory: GuestMemory): boolean {
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
   * All its memory as one stretch: an address, or the descriptor of a dma-buf. 0 when there is none; `apart` says why.
   * Makes the stretch when it is asked for first. Allocates nothing after that.
   */
  handle(way: Way): number {
    if (way === this.#way) return this.#handle;
    this.release();
    this.#way = way;
    this.#handle = this.#find(way);
    return this.#handle;
  }

  #find(way: Way): number {
    if (this.gone) {
      this.#apart = "its memory is gone";
      return 0;
    }
    if (this.planes.length !== 1 || this.planes[0]?.offset !== 0) {
      this.#apart = "its planes are apart";
      return 0;
    }
    if (way === "userptr" && this.#ranges.pieces === 1) return this.#ranges.address(0);
    const made = this.#stretches.make(way, this.#ranges, this.#memory);
    if (typeof made === "string") {
      this.#apart = made;
      return 0;
    }
    this.#stretch = made;
    return made.handle;
  }

  /** Why there is no stretch. */
  get apart(): string {
    return this.#apart;
  }

  /** Makes memory for a decoder to work on instead of this resource. Throws SysError. */
  spare(way: Way, length: number): Spare {
    return this.#stretches.spare(way, length);
  }

  /** Undoes the stretch. Whoever had its handle must not use it any more. True when there was one. */
  release(): boolean {
    const stretch = this.#stretch;
    this.#stretch = undefined;
    this.#way = undefined;
    stretch?.[Symbol.dispose]();
    return stretch !== undefined;
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
