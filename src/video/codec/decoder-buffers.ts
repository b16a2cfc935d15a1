// The buffers of one queue of a decoder: guest memory that the decoder works on in place (USERPTR), or buffers of the
// driver with one copy (MMAP).
import { errno, must, SysError } from "../../../ffi/errno.ts";
import type { Mapping } from "../../../ffi/mapping.ts";
import { log } from "../../cli/log.ts";
import { mapPlanes } from "../../v4l2/buffers-mmap.ts";
import type { Direction } from "../../v4l2/format.ts";
import { MAX_BUFFERS, NOT_QUEUED, type PlaneMemory, type Queue } from "../../v4l2/queue.ts";
import type { Resource } from "../resource.ts";

/** More buffers than any driver gives; a count above it is an error. */
const MAX_GIVEN = 1024;

/** Whether a queue that needs `bytes` per buffer can work on that resource's memory in place. */
export function canShare(resource: Resource, bytes: number): boolean {
  return resource.contiguous !== undefined && resource.length >= bytes;
}

export class DecoderBuffers<D extends Direction> implements Disposable {
  readonly queue: Queue<D>;
  /** "bitstream" or "pictures", for the log. */
  readonly #name: string;
  #owned = new DisposableStack();
  #mappings: Mapping[][] = [];
  // USERPTR: the kernel keeps the pages of the address that a buffer had last, and looks them up only for another one.
  #addresses: number[] = [];
  /** That address may now be mapped to other memory. */
  #stale: boolean[] = [];
  #mustCopy = false;
  /** What was logged last. */
  #logged = "";
  readonly #place = { address: 0, length: 0 };
  readonly #places: readonly PlaneMemory[] = [this.#place];

  constructor(queue: Queue<D>, name: string) {
    this.queue = queue;
    this.#name = name;
  }

  get allocated(): boolean {
    return this.queue.count > 0;
  }
  /** The decoder works on guest memory in place. */
  get onGuestMemory(): boolean {
    return this.allocated && this.queue.memory === "userptr";
  }

  /**
   * Makes the buffers: USERPTR when `share` is set and the driver takes it, else `count` of the driver's with `planes`
   * memory planes each. Logs the choice when it differs from the last one. Throws SysError.
   */
  make({ share, count, planes }: { share: boolean; count: number; planes: number }): void {
    if (share && !this.#mustCopy && this.#request(MAX_BUFFERS, "userptr", 1) > 0) {
      this.#say("USERPTR, on guest memory");
      return;
    }
    const { device } = this.queue;
    const given = must(this.#request(count, "mmap", planes), "VIDIOC_REQBUFS", device.path);
    try {
      for (let index = 0; index < given; index++)
        this.#mappings.push(mapPlanes(this.queue, index, this.#owned));
    } catch (error) {
      this.release();
      throw error;
    }
    this.#say(`MMAP, ${given} buffers, one copy`);
  }

  /** How many buffers there are now, or a negative errno. */
  #request(count: number, memory: "mmap" | "userptr", planes: number): number {
    const given = this.queue.request(count, memory, planes);
    if (given < 0) return given;
    if (given < 1 || given > MAX_GIVEN) {
      this.queue.free();
      return -errno.ENOMEM;
    }
    this.#addresses = new Array<number>(given).fill(0);
    this.#stale = new Array<boolean>(given).fill(false);
    return given;
  }

  #say(what: string): void {
    if (what === this.#logged) return; // buffers are made again at every change of the format
    this.#logged = what;
    log.withTag("video").debug(`${this.queue.device.path} ${this.#name}: ${what}`);
  }

  /** After USERPTR was refused for the first buffer: releases the buffers; from now on `make` takes MMAP. */
  copyFromNowOn(): void {
    this.release();
    this.#mustCopy = true;
  }

  /** The memory of a plane of a buffer of the driver. */
  mapping(index: number, plane: number): Mapping | undefined {
    return this.#mappings[index]?.[plane];
  }

  /**
   * A buffer that the driver does not have; -1 when it has all of them. For memory at `address`, the buffer that had
   * this address last, because then the kernel need not look up its pages; otherwise one that had no address yet.
   */
  free(address = 0): number {
    let found = -1;
    for (let i = 0; i < this.queue.count; i++) {
      if (this.queue.isQueued(i)) continue;
      const known = this.#addresses[i] ?? 0;
      if (address !== 0 && known === address) {
        if (this.#stale[i] === true) continue; // the kernel would use the old pages
        return i;
      }
      if (found < 0 || (known === 0 && this.#addresses[found] !== 0)) found = i;
    }
    return found;
  }

  /** Guest memory as QBUF takes it; valid until the next call. */
  at(address: number, length: number): readonly PlaneMemory[] {
    this.#place.address = address;
    this.#place.length = length;
    return this.#places;
  }

  /** QBUF has worked for buffer `index` with memory at `address`. */
  pinned(index: number, address: number): void {
    this.#addresses[index] = address;
    this.#stale[index] = false;
  }

  /** The guest's memory table changed: addresses that no queued buffer has may be mapped to other memory now. */
  forgetPlaces(): void {
    for (let i = 0; i < this.#stale.length; i++) if (!this.queue.isQueued(i)) this.#stale[i] = true;
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
    if (this.allocated) this.queue.free();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
