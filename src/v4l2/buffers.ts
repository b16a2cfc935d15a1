// A buffer's memory as the capture code uses it, whichever memory type made it (mmap.ts, dmabuf.ts, userptr.ts).
import type { Fd } from "../../ffi/fd.ts";
import type { Memory } from "../../ffi/mapping.ts";

export interface CaptureBuffers extends Disposable {
  /** "mmap", "dmabuf" or "userptr", for people. */
  readonly memory: string;
  /** The mapped planes of each buffer. */
  readonly buffers: readonly (readonly Memory[])[];
  /** Gives buffer `index` to the driver; 0 or a negative errno. */
  queue(index: number): number;
  /** The CPU is about to read buffer `index`, or has read it. */
  begin(index: number): void;
  end(index: number): void;
  /** The first plane of buffer `index` as a new descriptor. Throws UnavailableError where there is none. */
  share(index: number): Fd;
}
