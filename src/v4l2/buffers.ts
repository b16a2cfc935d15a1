// The memory of a queue's buffers, whichever memory type made it (buffers-mmap.ts, -dmabuf.ts, -userptr.ts).
import type { Fd } from "../../ffi/fd.ts";
import type { Memory } from "../../ffi/mapping.ts";
import type { PlaneMemory } from "./queue.ts";

/** Disposing it releases the memory. */
export interface Buffers extends Disposable {
  /** "mmap", "dmabuf" or "userptr (NAME)", for people. */
  readonly memory: string;
  /** The mapped planes of each buffer. */
  readonly mappings: readonly (readonly Memory[])[];
  /** What QBUF takes along for each buffer; empty for MMAP. */
  readonly given: readonly (readonly PlaneMemory[])[];
  /** The CPU is about to access buffer `index`. Throws SysError. */
  begin(index: number): void;
  /** The CPU has finished what `begin` announced. Throws SysError. */
  end(index: number): void;
  /** The first plane of buffer `index` as a new descriptor. Throws UnavailableError where it has none. */
  share(index: number): Fd;
}

/** How large the planes of a buffer are, bytes. */
export interface PlaneSizes {
  /** To allocate, where the memory is ours: `sizeimage`. */
  readonly sizes: readonly number[];
  /** To expect, where the memory is the driver's: what will be accessed. */
  readonly needs: readonly number[];
}
