// What the code takes for a dma-buf, on hosts without DMA heaps: a memfd. Fakes of drivers take it, no real one does.
import { Fd } from "../../ffi/fd.ts";
import { Mapping } from "../../ffi/mapping.ts";
import type { FrameBuffer } from "../../src/frame/memory.ts";

export const DMA_NAME = "fake-dma";

/** A buffer of `length` bytes, all of them `value`. */
export function dmaBuffer(length: number, value = 0): FrameBuffer & { readonly fd: Fd } {
  const fd = Fd.memory(DMA_NAME, length);
  const mapping = new Mapping(fd.number, length, DMA_NAME);
  mapping.bytes.fill(value);
  return {
    fd,
    dmaBuf: true,
    mapping,
    begin: () => undefined,
    end: () => undefined,
    [Symbol.dispose]: () => {
      mapping[Symbol.dispose]();
      fd[Symbol.dispose]();
    },
  };
}
