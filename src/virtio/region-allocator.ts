// Ranges of a shared memory region. Each begins at a multiple of REGION_GRAIN and its length is rounded up to one: pages of arm64
// have up to 64 KiB, and the device does not know the guest's.

/** Unit of offsets and lengths in the region. */
export const REGION_GRAIN = 65_536;

/** `length`, rounded up to the grain. */
export const toGrain = (length: number): number => Math.ceil(length / REGION_GRAIN) * REGION_GRAIN;

interface Range {
  readonly offset: number;
  readonly length: number;
}

export class RegionAllocator {
  readonly size: number;
  /** Used ranges, by offset. What is between them is free, so free neighbours are one gap. */
  readonly #used: Range[] = [];

  /** `size` is a multiple of REGION_GRAIN. */
  constructor(size: number) {
    if (!Number.isSafeInteger(size) || size < 1 || size % REGION_GRAIN !== 0) {
      throw new RangeError(`a region of ${size} bytes: it must be a multiple of ${REGION_GRAIN}`);
    }
    this.size = size;
  }

  /** Bytes in use. */
  get usedBytes(): number {
    return this.#used.reduce((sum, { length }) => sum + length, 0);
  }

  /** Takes the first gap of `length` bytes. The offset, or undefined when there is no such gap. */
  allocate(length: number): number | undefined {
    if (!Number.isSafeInteger(length) || length < 1) return undefined;
    const wanted = toGrain(length);
    let offset = 0;
    let at = 0;
    for (const range of this.#used) {
      if (range.offset - offset >= wanted) break;
      offset = range.offset + range.length;
      at += 1;
    }
    if (offset + wanted > this.size) return undefined;
    this.#used.splice(at, 0, { offset, length: wanted });
    return offset;
  }

  /** Frees the range that begins at `offset`. Throws RangeError when there is none: a defect of the caller. */
  free(offset: number): void {
    const at = this.#used.findIndex((range) => range.offset === offset);
    if (at < 0) throw new RangeError(`nothing is allocated at ${offset}`);
    this.#used.splice(at, 1);
  }
}
