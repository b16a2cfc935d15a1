// dma-bufs without a kernel device: descriptors of which the fake decoder knows the memory.
import { Fd } from "../../ffi/fd.ts";
import type { FilePiece } from "../../ffi/file-pieces.ts";
import { StitchedMapping } from "../../ffi/stitched-mapping.ts";

export class FakeDmabufs implements Disposable {
  /** By descriptor. A dma-buf whose descriptor was closed keeps its memory until the number is used again, as V4L2 does. */
  readonly memory = new Map<number, StitchedMapping>();
  made = 0;

  /** What makes dma-bufs for Stretches. */
  readonly make = (pieces: readonly FilePiece[]): Fd => {
    const mapping = new StitchedMapping(pieces);
    const fd = Fd.memory("fake-dmabuf", 4096);
    this.memory.get(fd.number)?.[Symbol.dispose]();
    this.memory.set(fd.number, mapping);
    this.made++;
    return fd;
  };

  [Symbol.dispose](): void {
    for (const mapping of this.memory.values()) mapping[Symbol.dispose]();
  }
}
