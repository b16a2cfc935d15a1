// Mapped memory. The view is detached before the pages are unmapped, so that a stale view reads as empty.
import { must, result } from "./errno.ts";
import { libc, viewOf } from "./libc.ts";

export const PROT_READ = 1;
export const PROT_WRITE = 2;
const MAP_SHARED = 1;

/** Memory with another owner, valid until the owner releases it. */
export interface Memory {
  /** Reads as empty once the owner has released the memory. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly length: number;
  /** Address of the first byte. Throws once the memory is released. */
  readonly address: number;
}

/** Bytes of a page on this host: the unit of mmap and of grant references. */
export const pageSize = libc.getpagesize();

/** A shared mapping of a descriptor. Throws SysError, or RangeError for a length that no view can have. */
export class Mapping implements Memory, Disposable {
  readonly length: number;
  readonly #address: number;
  /** Made when it is first used: the runtime counts its bytes as its own, and four views of 4 MB start a garbage collection. */
  #bytes: Uint8Array<ArrayBuffer> | undefined;
  #gone = false;

  constructor(
    fd: number,
    length: number,
    name: string,
    protection = PROT_READ | PROT_WRITE,
    offset = 0,
  ) {
    // Bun makes no view of 4 GiB or more.
    if (!Number.isSafeInteger(length) || length < 1 || length > 0xffff_ffff) {
      throw new RangeError(`mmap ${name}: ${length} bytes is not 1 to 4294967295`);
    }
    const at = must(result(libc.mmap(0, length, protection, MAP_SHARED, fd, offset)), "mmap", name);
    this.#address = at;
    this.length = length;
  }

  /** The memory. Reads as empty once the mapping is disposed. */
  get bytes(): Uint8Array<ArrayBuffer> {
    this.#bytes ??= this.#gone
      ? new Uint8Array(new ArrayBuffer(0))
      : viewOf(this.#address, this.length);
    return this.#bytes;
  }

  /** Address of the first byte. Throws once disposed. */
  get address(): number {
    if (this.#gone) throw new Error("the mapping is gone");
    return this.#address;
  }

  /** A part of the mapping, valid as long as the mapping. Throws RangeError if it is not inside. */
  slice(offset: number, length: number): Memory {
    const inside = Number.isSafeInteger(offset) && offset >= 0 && length >= 1;
    if (!inside || !Number.isSafeInteger(length) || offset + length > this.length) {
      throw new RangeError(`${offset} + ${length} is outside a mapping of ${this.length} bytes`);
    }
    const whole = this;
    let part: Uint8Array<ArrayBuffer> | undefined;
    return {
      get bytes() {
        part ??= whole.bytes.subarray(offset, offset + length);
        return part;
      },
      length,
      get address() {
        return whole.address + offset;
      },
    };
  }

  [Symbol.dispose](): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#bytes?.buffer.transfer(0); // before munmap: a stale view reads as empty instead of faulting
    libc.munmap(this.#address, this.length);
  }
}
