// Buffers that guests map (V4L2_MEMORY_MMAP): each has memory of its own, a handle to name it, and one mapping in the region that
// lives as long as the buffer. MUNMAP does not end it: a child process of the guest that exits sends MUNMAP for the buffers of its
// parent, because Linux does not tell the driver of the copies that fork() makes.
import { type BufferMemory, BufferMemory as Memory, type Quota } from "../virtio/buffer-memory.ts";
import { REGION_GRAIN } from "../virtio/region-allocator.ts";
import type { RegionMapping, SharedMemory } from "../virtio/shared-memory.ts";
import { check, MediaError } from "./media-error.ts";

/** Mappings that the guest may have of one buffer; no program has more than a few. */
const MAX_USERS = 65_536;
/** Handles are multiples of the grain below 2^32: the guest's pages may have up to 64 KiB. */
const HANDLES = 0x1_0000_0000 / REGION_GRAIN;

/** Called with the offset in the region, or with undefined when the buffer could not be mapped. */
type Mapped = (offset: number | undefined) => void;

export class SharedBuffer {
  /** v4l2_buffer.m.offset: names the buffer in MMAP. */
  readonly handle: number;
  readonly memory: BufferMemory;
  readonly #pool: SharedBuffers;
  #mapping: RegionMapping | undefined;
  /** MMAP commands less MUNMAP commands. */
  #users = 0;
  #freed = false;
  #waiting: Mapped[] = [];

  constructor(pool: SharedBuffers, handle: number, memory: BufferMemory) {
    this.#pool = pool;
    this.handle = handle;
    this.memory = memory;
  }

  get users(): number {
    return this.#users;
  }

  /** Maps the buffer, once; later calls get the same place. `done` may be called at once. Throws MediaError. */
  map(region: SharedMemory, done: Mapped): void {
    if (this.#users + this.#waiting.length >= MAX_USERS)
      throw new MediaError("ENOMEM", "the buffer is mapped too often");
    if (this.#mapping !== undefined) {
      this.#users += 1;
      done(this.#mapping.offset);
      return;
    }
    this.#waiting.push(done);
    if (this.#waiting.length > 1) return;
    // Always writable: only the guest reads the buffer, and programs map it for reading and writing.
    region.map(this.memory, true, (mapping) => this.#mapped(mapping));
  }

  #mapped(mapping: RegionMapping | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    if (mapping !== undefined && this.#freed) mapping.unmap();
    const usable = this.#freed ? undefined : mapping;
    this.#mapping = usable;
    if (usable !== undefined) {
      this.#users += waiting.length;
      this.#pool.placed(usable.offset, this);
    }
    for (const done of waiting) done(usable?.offset);
  }

  /** The guest has removed a mapping. Throws MediaError when there is none. */
  unmapped(): void {
    check(this.#users > 0, "the buffer is not mapped");
    this.#users -= 1;
    if (this.#freed && this.#users === 0) this.#remove();
  }

  /** The buffer is freed. What the guest still has mapped stays until it is unmapped; nothing is written to it any more. */
  free(): void {
    if (this.#freed) return;
    this.#freed = true;
    this.memory[Symbol.dispose]();
    if (this.#users === 0) this.#remove();
  }

  #remove(): void {
    const { offset } = this.#mapping ?? {};
    this.#mapping?.unmap();
    this.#mapping = undefined;
    this.#pool.removed(this, offset);
  }
}

/** All such buffers of a device, those that only the guest still has mapped included. */
export class SharedBuffers {
  readonly quota: Quota;
  readonly #byHandle = new Map<number, SharedBuffer>();
  readonly #byOffset = new Map<number, SharedBuffer>();
  #next = 0;

  constructor(quota: Quota) {
    this.quota = quota;
  }

  /** Buffers that exist or that the guest still has mapped. */
  get count(): number {
    return this.#byHandle.size;
  }

  /** Makes a buffer of `length` bytes; undefined when the quota has no room for it. Throws SysError. */
  create(length: number): SharedBuffer | undefined {
    const memory = Memory.create(this.quota, length, "framepass-media");
    if (memory === undefined) return undefined;
    const buffer = new SharedBuffer(this, this.#freeHandle(), memory);
    this.#byHandle.set(buffer.handle, buffer);
    return buffer;
  }

  /** There are far fewer buffers than handles: the quota counts at least one grain for each. */
  #freeHandle(): number {
    for (;;) {
      const handle = this.#next * REGION_GRAIN;
      this.#next = (this.#next + 1) % HANDLES;
      if (!this.#byHandle.has(handle)) return handle;
    }
  }

  /** MUNMAP of the mapping that begins at `offset` of the region. Throws MediaError. */
  unmap(offset: bigint): void {
    const buffer = this.#byOffset.get(Number(offset));
    if (buffer === undefined) throw new MediaError("EINVAL", "no buffer is mapped there");
    buffer.unmapped();
  }

  placed(offset: number, buffer: SharedBuffer): void {
    this.#byOffset.set(offset, buffer);
  }

  removed(buffer: SharedBuffer, offset: number | undefined): void {
    this.#byHandle.delete(buffer.handle);
    if (offset !== undefined && this.#byOffset.get(offset) === buffer)
      this.#byOffset.delete(offset);
  }

  /** The driver has ended, and the transport removes all mappings. Buffers were freed before. */
  reset(): void {
    this.#byHandle.clear();
    this.#byOffset.clear();
  }
}
