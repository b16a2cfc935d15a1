// V4L2_MEMORY_MMAP: buffers that the driver allocated, mapped once.
import { SysError } from "../../ffi/errno.ts";
import type { Mapping } from "../../ffi/mapping.ts";
import { log } from "../cli/log.ts";
import { needed, UnavailableError } from "../errors.ts";
import type { Buffers } from "./buffers.ts";
import { deviceAdvice } from "./device.ts";
import type { Queue } from "./queue.ts";

/** Maps the `count` buffers of the driver and logs how many can be exported. Throws UnavailableError. */
export function mmapBuffers(queue: Queue, count: number, needs: readonly number[]): Buffers {
  using owned = new DisposableStack();
  const mappings = Array.from({ length: count }, (_, index) =>
    needed(() => mapPlanes(queue, index, owned, needs), deviceAdvice),
  );
  const exported = mappings.filter((_, index) => canExport(queue, index)).length;
  log.info(`VIDIOC_EXPBUF ${queue.device.path}: ${exported} of ${count} buffers can be exported`);
  const release = owned.move();
  return {
    memory: "mmap",
    mappings,
    given: [],
    begin: () => undefined,
    end: () => undefined,
    share: (index) =>
      needed(
        () => queue.export(index),
        () => "",
      ),
    [Symbol.dispose]: () => release.dispose(),
  };
}

/**
 * Maps the planes of buffer `index`, each of at least `needs` bytes; `owned` gets the mappings. Throws SysError, or
 * UnavailableError for a buffer that is too small.
 */
export function mapPlanes(
  queue: Queue,
  index: number,
  owned: DisposableStack,
  needs: readonly number[] = [],
): Mapping[] {
  const { device } = queue;
  const places = queue.places(index);
  for (const [plane, bytes] of needs.entries()) {
    const length = places[plane]?.length ?? 0;
    if (length >= Math.max(1, bytes)) continue;
    const what = `VIDIOC_QUERYBUF ${device.path}: buffer ${index} has ${length} bytes for a picture of ${bytes}`;
    throw new UnavailableError(`${what}; the driver is broken, try another size`);
  }
  return places.map(({ length, offset }) => owned.use(device.map(length, offset)));
}

function canExport(queue: Queue, index: number): boolean {
  try {
    queue.export(index)[Symbol.dispose]();
    return true;
  } catch (error) {
    if (error instanceof SysError) return false;
    throw error;
  }
}
