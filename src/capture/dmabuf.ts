// V4L2_MEMORY_DMABUF: buffers from a DMA heap, which the camera writes into.

import { Fd } from "../../ffi/fd.ts";
import { UnavailableError } from "../errors.ts";
import { heapAllocator, type OwnBuffer, READ } from "../memory.ts";
import type { CaptureBuffers } from "./buffers.ts";
import type { BufferQueue } from "./queue.ts";

/** Allocates `count` buffers with a plane of each of `sizes` bytes. Throws SysError. */
export function heapBuffers(
  queue: BufferQueue,
  count: number,
  sizes: readonly number[],
  heapPath: string,
): CaptureBuffers {
  using owned = new DisposableStack();
  const heap = owned.use(heapAllocator(heapPath));
  const buffers: OwnBuffer[][] = Array.from({ length: count }, () =>
    sizes.map((size) => owned.use(heap.allocate(size))),
  );
  const handles = buffers.map((planes) =>
    planes.map((plane) => ({ fd: plane.fd.number, length: plane.mapping.length })),
  );
  const release = owned.move();
  const each = (index: number, action: (plane: OwnBuffer) => void) => {
    const planes = buffers[index] ?? [];
    for (let i = 0; i < planes.length; i++) action(planes[i] as OwnBuffer);
  };
  const begin = (plane: OwnBuffer) => plane.begin(READ);
  const end = (plane: OwnBuffer) => plane.end(READ);
  return {
    memory: "dmabuf",
    buffers: buffers.map((planes) => planes.map((plane) => plane.mapping)),
    queue: (index) => queue.queue(index, handles[index]),
    begin: (index) => each(index, begin),
    end: (index) => each(index, end),
    share: (index) => {
      const plane = buffers[index]?.[0];
      if (plane === undefined) throw new UnavailableError(`there is no buffer ${index}`);
      return Fd.duplicate(plane.fd.number, "dma-buf");
    },
    [Symbol.dispose]: () => release.dispose(),
  };
}
