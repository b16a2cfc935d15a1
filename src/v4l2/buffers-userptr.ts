// V4L2_MEMORY_USERPTR: memory that is mapped already (a region shared with another guest), which the device accesses.
import { UnavailableError } from "../errors.ts";
import type { Allocator } from "../frame/memory.ts";
import type { Buffers } from "./buffers.ts";

/** Allocates `count` buffers with a plane of each of `sizes` bytes. Throws UnavailableError when there is no room. */
export function userptrBuffers(
  count: number,
  sizes: readonly number[],
  allocator: Allocator,
): Buffers {
  using owned = new DisposableStack();
  const mappings = Array.from({ length: count }, () =>
    sizes.map((size) => owned.use(allocator.allocate(size)).mapping),
  );
  const release = owned.move();
  return {
    memory: `userptr (${allocator.name})`,
    mappings,
    given: mappings.map((planes) => planes.map(({ address, length }) => ({ address, length }))),
    begin: () => undefined,
    end: () => undefined,
    share: () => {
      throw new UnavailableError(`${allocator.name}: a buffer in it has no descriptor of its own`);
    },
    [Symbol.dispose]: () => release.dispose(),
  };
}
