// V4L2_MEMORY_DMABUF: buffers from a DMA heap, which the device reads or writes.
import { Fd } from "../../ffi/fd.ts";
import { type Allocator, type FrameBuffer, READ, WRITE } from "../frame/memory.ts";
import type { Buffers } from "./buffers.ts";
import type { Queue } from "./queue.ts";

/** Allocates `count` buffers with a plane of each of `sizes` bytes. Takes over `heap`. Throws SysError. */
export function dmabufBuffers(
  queue: Queue,
  count: number,
  sizes: readonly number[],
  heap: Allocator,
): Buffers {
  using owned = new DisposableStack();
  owned.use(heap);
  const buffers: FrameBuffer[][] = Array.from({ length: count }, () =>
    sizes.map((size) => owned.use(heap.allocate(size))),
  );
  const given = buffers.map((planes) =>
    planes.map((plane) => ({ fd: descriptorOf(plane), length: plane.mapping.length })),
  );
  // The CPU reads what a camera wrote, and writes what an output will read.
  const access = queue.direction === "capture" ? READ : WRITE;
  const release = owned.move();
  return {
    memory: "dmabuf",
    mappings: buffers.map((planes) => planes.map((plane) => plane.mapping)),
    given,
    begin(index) {
      const planes = buffers[index] ?? [];
      for (let i = 0; i < planes.length; i++) planes[i]?.begin(access);
    },
    end(index) {
      const planes = buffers[index] ?? [];
      for (let i = 0; i < planes.length; i++) planes[i]?.end(access);
    },
    share: (index) => Fd.duplicate(descriptorOf(buffers[index]?.[0]), "dma-buf"),
    [Symbol.dispose]: () => release.dispose(),
  };
}

function descriptorOf(plane: FrameBuffer | undefined): number {
  if (plane?.fd === undefined) throw new RangeError("a buffer without a descriptor");
  return plane.fd.number;
}
