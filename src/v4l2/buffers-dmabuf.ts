// V4L2_MEMORY_DMABUF: buffers from a DMA heap, which the camera writes into.
import { Fd } from "../../ffi/fd.ts";
import { type Allocator, type FrameBuffer, READ } from "../frame/memory.ts";
import type { CaptureBuffers } from "./buffers.ts";
import type { BufferQueue } from "./queue.ts";

/** Allocates `count` buffers with a plane of each of `sizes` bytes from a heap it then owns. Throws SysError. */
export function heapBuffers(
  queue: BufferQueue,
  count: number,
  sizes: readonly number[],
  heap: Allocator,
): CaptureBuffers {
  using owned = new DisposableStack();
  owned.use(heap);
  const buffers: FrameBuffer[][] = Array.from({ length: count }, () =>
    sizes.map((size) => owned.use(heap.allocate(size))),
  );
  const handles = buffers.map((planes) =>
    planes.map((plane) => ({ fd: descriptorOf(plane), length: plane.mapping.length })),
  );
  const release = owned.move();
  const each = (index: number, action: (plane: FrameBuffer) => void) => {
    const planes = buffers[index] ?? [];
    for (let i = 0; i < planes.length; i++) action(planes[i] as FrameBuffer);
  };
  const begin = (plane: FrameBuffer) => plane.begin(READ);
  const end = (plane: FrameBuffer) => plane.end(READ);
  return {
    memory: "dmabuf",
    buffers: buffers.map((planes) => planes.map((plane) => plane.mapping)),
    queue: (index) => queue.queue(index, handles[index]),
    begin: (index) => each(index, begin),
    end: (index) => each(index, end),
    share: (index) => Fd.duplicate(descriptorOf(buffers[index]?.[0]), "dma-buf"),
    [Symbol.dispose]: () => release.dispose(),
  };
}

function descriptorOf(plane: FrameBuffer | undefined): number {
  if (plane?.fd === undefined) throw new RangeError("a buffer without a descriptor");
  return plane.fd.number;
}
