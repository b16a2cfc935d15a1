// V4L2_MEMORY_USERPTR: memory we have already, a region shared with another guest, which the camera writes into.
import { UnavailableError } from "../errors.ts";
import type { Allocator } from "../frame/memory.ts";
import type { CaptureBuffers } from "./buffers.ts";
import type { BufferQueue } from "./queue.ts";

/** Takes `count` buffers with a plane of each of `sizes` bytes from `allocator`. Throws UnavailableError when it is full. */
export function placedBuffers(
  queue: BufferQueue,
  count: number,
  sizes: readonly number[],
  allocator: Allocator,
): CaptureBuffers {
  using owned = new DisposableStack();
  const buffers = Array.from({ length: count }, () =>
    sizes.map((size) => owned.use(allocator.allocate(size)).mapping),
  );
  const places = buffers.map((planes) =>
    planes.map(({ address, length }) => ({ address, length })),
  );
  const release = owned.move();
  return {
    memory: `userptr (${allocator.name})`,
    buffers,
    queue: (index) => queue.queue(index, places[index]),
    begin: () => undefined,
    end: () => undefined,
    share: () => {
      throw new UnavailableError(`${allocator.name}: a buffer in it has no descriptor of its own`);
    },
    [Symbol.dispose]: () => release.dispose(),
  };
}
