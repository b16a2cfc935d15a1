// Memory of a device's buffers that a guest can map: a memfd of its own for each buffer, zero-filled and sealed, and the limit
// of all that one device has.
import { Fd } from "../../ffi/fd.ts";
import { Mapping } from "../../ffi/mapping.ts";
import { toGrain } from "./region-allocator.ts";

/** The bytes that a device may have in buffers, those that only the guest still has mapped included. */
export class Quota {
  readonly limit: number;
  #used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  /** Takes `bytes`. Returns false when less is left, and takes nothing. */
  take(bytes: number): boolean {
    if (!(bytes >= 0 && bytes <= this.limit - this.#used)) return false;
    this.#used += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#used -= bytes;
  }
}

export class BufferMemory implements Disposable {
  /** Bytes of the buffer. */
  readonly length: number;
  /** Bytes of the file: `length`, rounded up to REGION_GRAIN. */
  readonly fileLength: number;
  readonly #fd: Fd;
  readonly #mapping: Mapping;
  readonly #quota: Quota;
  #bytes: Uint8Array<ArrayBuffer> | undefined;
  /** The owner and those who called `hold`. */
  #holders = 1;
  #disposed = false;

  private constructor(fd: Fd, mapping: Mapping, length: number, quota: Quota) {
    this.#fd = fd;
    this.#mapping = mapping;
    this.#quota = quota;
    this.length = length;
    this.fileLength = mapping.length;
  }

  /**
   * Creates the memory of a buffer of `length` bytes. Undefined when the quota is used up, or `length` is not positive. Throws
   * SysError when the host has no memory or no descriptors left. `name` is for error texts.
   */
  static create(quota: Quota, length: number, name: string): BufferMemory | undefined {
    if (!Number.isSafeInteger(length) || length < 1) return undefined;
    const fileLength = toGrain(length);
    if (!quota.take(fileLength)) return undefined;
    try {
      using owned = new DisposableStack();
      const fd = owned.use(Fd.memory(name, fileLength)); // sealed: neither side can cut it off
      const mapping = owned.use(new Mapping(fd.number, fileLength, name));
      const memory = new BufferMemory(fd, mapping, length, quota);
      owned.move();
      return memory;
    } catch (error) {
      quota.give(fileLength);
      throw error;
    }
  }

  /** The descriptor of the file, for the monitor. The buffer owns it. */
  get fd(): number {
    return this.#fd.number;
  }
  /** Host address of the first byte. Throws once disposed. */
  get address(): number {
    return this.#mapping.address;
  }
  /** The `length` bytes of the buffer. Reads as empty once disposed. The guest may change them at any time. */
  get bytes(): Uint8Array<ArrayBuffer> {
    this.#bytes ??= this.#mapping.bytes.subarray(0, this.length);
    return this.#bytes;
  }

  /** Charges the quota until the result is disposed, even after the buffer was: the monitor has the file mapped. */
  hold(): Disposable {
    this.#holders += 1;
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) this.#drop();
        held = false;
      },
    };
  }

  #drop(): void {
    this.#holders -= 1;
    if (this.#holders === 0) this.#quota.give(this.fileLength);
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#mapping[Symbol.dispose]();
    this.#fd[Symbol.dispose]();
    this.#drop();
  }
}
