// A buffer's memory as the capture code uses it, whichever memory type made it (mmap.ts, dmabuf.ts).
import type { Mapping } from "../../ffi/mapping.ts";

export interface CaptureBuffers extends Disposable {
  /** "mmap" or "dmabuf", for people. */
  readonly memory: string;
  /** The mapped planes of each buffer. */
  readonly buffers: readonly (readonly Mapping[])[];
  /** Gives buffer `index` to the driver; 0 or a negative errno. */
  queue(index: number): number;
  /** The CPU is about to read buffer `index`, or has read it. */
  begin(index: number): void;
  end(index: number): void;
}
