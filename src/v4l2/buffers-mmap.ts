// V4L2_MEMORY_MMAP: the driver's own buffers, mapped once.
import { SysError } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import type { Mapping } from "../../ffi/mapping.ts";
import { log } from "../cli/log.ts";
import { needed, UnavailableError } from "../errors.ts";
import type { CaptureBuffers } from "./buffers.ts";
import { deviceAdvice } from "./device.ts";
import type { BufferQueue, PlanePlace } from "./queue.ts";

/** Maps the `count` buffers the driver made; reports how many of them it could export. Throws UnavailableError. */
export function mapBuffers(
  queue: BufferQueue,
  count: number,
  minimum: readonly number[],
): CaptureBuffers {
  using owned = new DisposableStack();
  const buffers: Mapping[][] = [];
  for (let index = 0; index < count; index++) {
    const places = queue.places(index);
    for (const [plane, needs] of minimum.entries()) {
      const length = places[plane]?.length ?? 0;
      if (length >= Math.max(1, needs)) continue;
      const what = `VIDIOC_QUERYBUF ${queue.device.path}: buffer ${index} has ${length} bytes for a picture of ${needs}`;
      throw new UnavailableError(`${what}; the driver is broken, try another size`);
    }
    const map = ({ length, offset }: PlanePlace) => owned.use(queue.device.map(length, offset));
    buffers.push(places.map((place) => needed(() => map(place), deviceAdvice)));
  }
  const exported = queue.exportable(count, (fd) => new Fd(fd, "dma-buf")[Symbol.dispose]());
  log.info(`VIDIOC_EXPBUF ${queue.device.path}: ${exported} of ${count} buffers can be exported`);
  const release = owned.move();
  return {
    memory: "mmap",
    buffers,
    queue: (index) => queue.queue(index),
    begin: () => undefined,
    end: () => undefined,
    share: (index) => {
      const fd = queue.export(index);
      if (fd >= 0) return new Fd(fd, "dma-buf");
      const error = new SysError("VIDIOC_EXPBUF", `${queue.device.path} (buffer ${index})`, -fd);
      throw new UnavailableError(error.message, { cause: error });
    },
    [Symbol.dispose]: () => release.dispose(),
  };
}
