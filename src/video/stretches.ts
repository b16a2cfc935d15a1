// One stretch of memory for a resource that lies in pieces, so that a decoder can work on it in place: its pages mapped side by
// side for user pointers, or a dma-buf of them. A connection may have only so many: mappings and descriptors of a process are few.
import { readFileSync } from "node:fs";
import { SysError } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import { wholePages } from "../../ffi/file-pieces.ts";
import { Mapping } from "../../ffi/mapping.ts";
import { UnfitFile } from "../../ffi/shared-region.ts";
import { GUARDS, StitchedMapping } from "../../ffi/stitched-mapping.ts";
import { makeUdmabuf } from "../../ffi/udmabuf.ts";
import type { GuestRanges } from "../virtio/guest-ranges.ts";
import type { GuestMemory } from "../virtio/virtio-device.ts";

/** How a decoder takes memory that is not its own. */
export type Way = "userptr" | "dmabuf";

/** A resource in one stretch. */
export interface Stretch extends Disposable {
  /** What the decoder takes: an address, or the descriptor of a dma-buf. */
  readonly handle: number;
}

/** Memory of ours that a decoder works on when a resource cannot become one stretch. */
export interface Spare extends Stretch {
  readonly mapping: Mapping;
}

const SPARE = "framepass-spare";
/** Pieces of one resource: 32 MiB of single pages. More would take too long to map, and the rings wait meanwhile. */
const MAX_PIECES = 8192;
/** dma-bufs that all resources of a connection may have together. */
const MAX_DMABUFS = 256;
/** The kernel's default of vm.max_map_count. */
const USUAL_MAPPINGS = 65_530;

/** Half of the mappings that a process may have, at most half of the default: the runtime needs some, too. */
function mostMappings(): number {
  let most = USUAL_MAPPINGS;
  try {
    most = Number(readFileSync("/proc/sys/vm/max_map_count", "utf8"));
  } catch {
    // no /proc/sys: the default
  }
  return Math.floor(Math.min(most, USUAL_MAPPINGS) / 2);
}

/** Makes the stretches of a connection and counts how many it may still have. Their owners dispose them. */
export class Stretches {
  readonly #makeDmabuf: typeof makeUdmabuf;
  #mappings: number;
  #dmabufs = MAX_DMABUFS;

  constructor({ makeDmabuf = makeUdmabuf, mappings = mostMappings() } = {}) {
    this.#makeDmabuf = makeDmabuf;
    this.#mappings = mappings;
  }

  /** Makes one stretch of the ranges, or answers why that cannot be done. */
  make(way: Way, ranges: GuestRanges, memory: GuestMemory): Stretch | string {
    try {
      return way === "userptr" ? this.#stitch(ranges, memory) : this.#dmabuf(ranges, memory);
    } catch (error) {
      if (error instanceof UnfitFile || error instanceof SysError) return error.message;
      throw error;
    }
  }

  #stitch(ranges: GuestRanges, memory: GuestMemory): Stretch | string {
    if (ranges.pieces > MAX_PIECES || ranges.pieces + GUARDS > this.#mappings)
      return "it has more pieces than may be mapped";
    const mapping = new StitchedMapping(ranges.filePieces(memory));
    this.#mappings -= mapping.mappings;
    return this.#owned(mapping.address, mapping, () => {
      this.#mappings += mapping.mappings;
    });
  }

  #dmabuf(ranges: GuestRanges, memory: GuestMemory): Stretch | string {
    if (this.#dmabufs === 0) return `there are ${MAX_DMABUFS} dma-bufs already`;
    const fd = this.#makeDmabuf(ranges.filePieces(memory));
    this.#dmabufs -= 1;
    return this.#owned(fd.number, fd, () => {
      this.#dmabufs += 1;
    });
  }

  #owned(handle: number, owner: Disposable, released: () => void): Stretch {
    let open = true;
    return {
      handle,
      [Symbol.dispose]() {
        if (!open) return;
        open = false;
        owner[Symbol.dispose]();
        released();
      },
    };
  }

  /** Makes `length` bytes of memory of ours, for a resource that cannot become one stretch. Throws SysError. */
  spare(way: Way, length: number): Spare {
    using owned = new DisposableStack();
    const bytes = wholePages(length);
    const fd = owned.use(Fd.memory(SPARE, bytes));
    const mapping = owned.use(new Mapping(fd.number, bytes, SPARE));
    const handle =
      way === "userptr"
        ? mapping.address
        : owned.use(this.#makeDmabuf([{ fd: fd.number, offset: 0, length: bytes }])).number;
    const release = owned.move();
    return { handle, mapping, [Symbol.dispose]: () => release.dispose() };
  }
}
