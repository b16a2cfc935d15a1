// The buffers of one queue of a decoder: guest memory that the decoder works on in place (USERPTR, or DMABUF for drivers that
// take no pointers), or buffers of the driver with one copy (MMAP).
import { errno, must, SysError } from "../../../ffi/errno.ts";
import type { Mapping } from "../../../ffi/mapping.ts";
import { log } from "../../cli/log.ts";
import { mapPlanes } from "../../v4l2/buffers-mmap.ts";
import type { Direction } from "../../v4l2/format.ts";
import {
  MAX_BUFFERS,
  type MemoryType,
  NOT_QUEUED,
  type PlaneMemory,
  type Queue,
} from "../../v4l2/queue.ts";
import type { Resource } from "../resource.ts";
import type { Spare, Way } from "../stretches.ts";

/** More buffers than any driver gives; a count above it is an error. */
const MAX_GIVEN = 1024;
/** Different lines about copies that are logged for everybody to see; all others need --log-level debug. */
const MAX_SAID = 16;

/** How a decoder may take guest memory, in the order in which it is tried. */
export const WAYS: readonly Way[] = ["userptr", "dmabuf"];

/** The buffers of a queue that are wanted. */
export interface BufferWish {
  /** The resources of the queue. */
  readonly resources: readonly Resource[];
  /** Bytes that each buffer has to have. */
  readonly bytes: number;
  /** How many the driver is asked for when it gives its own. */
  readonly count: number;
  /** Memory planes of each. */
  readonly planes: number;
}

export interface BufferOptions {
  /** "bitstream" or "pictures", for the log. */
  readonly name: string;
  readonly ways: readonly Way[];
  /** Lines that all streams of the decoder have logged. */
  readonly said: Set<string>;
}

export class DecoderBuffers<D extends Direction> implements Disposable {
  readonly queue: Queue<D>;
  readonly #name: string;
  readonly #said: Set<string>;
  readonly #ways: Set<Way>;
  #way: Way | undefined;
  #owned = new DisposableStack();
  #mappings: Mapping[][] = [];
  // The kernel keeps the pages of the address that a buffer had last, and looks them up only for another one.
  #handles: number[] = [];
  /** That address may now be mapped to other memory. */
  #stale: boolean[] = [];
  /** Memory of our own that a buffer has had, for resources that are in no stretch; and whether it has it now. */
  #spares: (Spare | undefined)[] = [];
  #spared: boolean[] = [];
  /** What was logged last. */
  #logged = "";
  readonly #pointer = { address: 0, length: 0 };
  readonly #dmabuf = { fd: 0, length: 0 };
  readonly #places: PlaneMemory[] = [];

  constructor(queue: Queue<D>, { name, ways, said }: BufferOptions) {
    this.queue = queue;
    this.#name = name;
    this.#ways = new Set(ways);
    this.#said = said;
  }

  get allocated(): boolean {
    return this.queue.count > 0;
  }
  /** The decoder works on guest memory in place. */
  get onGuestMemory(): boolean {
    return this.allocated && this.#way !== undefined;
  }

  /**
   * Makes the buffers: on guest memory when the driver takes it and each resource is one stretch, else `count` of the
   * driver's. Logs the choice when it differs from the last one. Throws SysError.
   */
  make(wish: BufferWish): void {
    const reasons = new Set<string>();
    for (const way of WAYS) {
      const reason = this.#share(way, wish);
      if (reason === undefined) {
        this.#say(`${way.toUpperCase()}, on guest memory`);
        return;
      }
      reasons.add(reason);
    }
    this.#way = undefined;
    for (const resource of wish.resources) resource.release();
    const { device } = this.queue;
    const given = must(
      this.#request(wish.count, "mmap", wish.planes),
      "VIDIOC_REQBUFS",
      device.path,
    );
    try {
      for (let index = 0; index < given; index++)
        this.#mappings.push(mapPlanes(this.queue, index, this.#owned));
    } catch (error) {
      this.release();
      throw error;
    }
    this.#say(`MMAP, ${given} buffers, one copy: ${[...reasons].join("; ")}`);
  }

  /** Makes buffers on guest memory; otherwise answers why not. */
  #share(way: Way, { resources, bytes, planes }: BufferWish): string | undefined {
    if (planes > 1) return "the decoder's pictures are in several pieces of memory";
    // The driver is asked first: making stretches takes longer.
    if (!this.#ways.has(way) || this.#request(MAX_BUFFERS, way, 1) <= 0)
      return `the driver takes no ${way.toUpperCase()}`;
    const short = resources.some(({ length }) => length < bytes);
    const apart = short ? undefined : resources.find((resource) => resource.handle(way) === 0);
    if (!short && apart === undefined) {
      this.#way = way;
      return undefined;
    }
    this.queue.free();
    return apart?.apart ?? "a buffer is too short";
  }

  /** How many buffers there are now, or a negative errno. */
  #request(count: number, memory: MemoryType, planes: number): number {
    const given = this.queue.request(count, memory, planes);
    if (given < 0) return given;
    if (given < 1 || given > MAX_GIVEN) {
      this.queue.free();
      return -errno.ENOMEM;
    }
    this.#handles = new Array<number>(given).fill(0);
    this.#stale = new Array<boolean>(given).fill(false);
    this.#spared = new Array<boolean>(given).fill(false);
    this.#spares = new Array<Spare | undefined>(given).fill(undefined);
    return given;
  }

  #say(what: string): void {
    if (what === this.#logged) return; // buffers are made again at every change of the format
    this.#logged = what;
    const line = `${this.queue.device.path} ${this.#name}: ${what}`;
    const first = what.startsWith("MMAP") && !this.#said.has(line) && this.#said.size < MAX_SAID;
    if (first) this.#said.add(line);
    log.withTag("video")[first ? "info" : "debug"](line);
  }

  /** After guest memory was refused for the first buffer: releases the buffers; `make` does not try this way again. */
  refused(): void {
    const way = this.#way;
    this.release();
    if (way !== undefined) this.#ways.delete(way);
  }

  /** The memory of a plane of a buffer of the driver, or the memory of our own that a buffer has. */
  mapping(index: number, plane: number): Mapping | undefined {
    if (this.#spared[index] === true) return plane === 0 ? this.#spares[index]?.mapping : undefined;
    return this.#mappings[index]?.[plane];
  }

  /** Whether the memory of a buffer is not that of its resource, so that it is copied. */
  copies(index: number): boolean {
    return this.#way === undefined || this.#spared[index] === true;
  }

  /** Whether the driver has all buffers. */
  get full(): boolean {
    return this.queue.queuedCount >= this.queue.count;
  }

  /**
   * A buffer that the driver does not have; -1 when it has all of them. On guest memory it is made ready for `resource`, and
   * `place` is what QBUF takes: the resource's memory, or memory of our own when that is no stretch of `bytes`. Throws
   * SysError.
   */
  pick(resource: Resource, bytes: number): number {
    const way = this.#way;
    if (way === undefined) return this.#free(0);
    let handle = resource.length < bytes ? 0 : resource.handle(way);
    let index = this.#free(handle);
    if (index < 0 && handle !== 0) {
      handle = 0; // all free buffers have old pages of this address
      index = this.#free(0);
    }
    if (index < 0) return index;
    this.#spared[index] = handle === 0;
    if (handle !== 0) this.#setPlace(handle, resource.length);
    else {
      const { handle: own, mapping } = this.#spareOf(index, resource, bytes, way);
      this.#setPlace(own, mapping.length);
    }
    return index;
  }

  /** Memory of our own for a buffer, never at the address that it had last: the kernel would use the old pages. */
  #spareOf(index: number, resource: Resource, bytes: number, way: Way): Spare {
    let spare = this.#spares[index];
    if (spare !== undefined) return spare;
    do {
      spare = this.#owned.use(resource.spare(way, bytes));
    } while (spare.handle === this.#handles[index]);
    this.#spares[index] = spare;
    return spare;
  }

  #setPlace(handle: number, length: number): void {
    const pointer = this.#way === "userptr";
    this.#pointer.address = this.#dmabuf.fd = handle;
    this.#pointer.length = this.#dmabuf.length = length;
    this.#places[0] = pointer ? this.#pointer : this.#dmabuf;
  }

  /** The memory of the buffer that `pick` answered last; undefined for a buffer of the driver. Valid until the next call. */
  get place(): readonly PlaneMemory[] | undefined {
    return this.#way === undefined ? undefined : this.#places;
  }

  /**
   * A free buffer. For memory at `handle`, the buffer that had it last, because then the kernel need not look up its pages;
   * otherwise one that had none yet.
   */
  #free(handle: number): number {
    let found = -1;
    for (let i = 0; i < this.queue.count; i++) {
      if (this.queue.isQueued(i)) continue;
      const known = this.#handles[i] ?? 0;
      if (handle !== 0 && known === handle) {
        if (this.#stale[i] === true) continue; // the kernel would use the old pages
        return i;
      }
      if (found < 0 || (known === 0 && this.#handles[found] !== 0)) found = i;
    }
    return found;
  }

  /** QBUF has worked for buffer `index`, which `pick` answered last. */
  pinned(index: number): void {
    this.#handles[index] = this.#pointer.address;
    this.#stale[index] = false;
  }

  /**
   * Addresses that no queued buffer has may be mapped to other memory now: those of stretches, or after a new memory table.
   * `all`: those that queued buffers have, too.
   */
  forgetPlaces(all: boolean): void {
    for (let i = 0; i < this.#stale.length; i++)
      if (all || !this.queue.isQueued(i)) this.#stale[i] = true;
  }

  /** A finished buffer, or -EAGAIN or -EPIPE. Throws SysError for any other failure of DQBUF. */
  dequeue(): number {
    const index = this.queue.dequeue();
    if (index >= 0 || index === -errno.EAGAIN || index === -errno.EPIPE) return index;
    const code = index === NOT_QUEUED ? errno.EIO : -index;
    throw new SysError("VIDIOC_DQBUF", this.queue.device.path, code);
  }

  /** Stops the queue and frees the buffers. */
  release(): void {
    this.queue.stop();
    this.#owned.dispose();
    this.#owned = new DisposableStack();
    this.#mappings = [];
    this.#spares = [];
    this.#spared = [];
    if (this.allocated) this.queue.free();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
