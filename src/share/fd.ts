// Sharing between programs on one kernel: the buffers' descriptors are sent with their handles over a Unix socket.
import { statfsSync } from "node:fs";
import { endOf, F_SEAL_SHRINK, type Fd, sealsOf } from "../../ffi/fd.ts";
import { PROT_READ } from "../../ffi/mapping.ts";
import { needed, ProtocolError } from "../errors.ts";
import { type FrameBuffer, OwnBuffer } from "../frame/memory.ts";
import type { Exporter, Importer } from "../frame/sharing.ts";
import type { Source } from "../frame/source.ts";

/** <linux/magic.h>: the file system of dma-bufs, which no user space can serve. */
const DMA_BUF_MAGIC = 0x444d4142;

/** Whether a descriptor is a dma-buf. Those never change their size. */
function isDmaBuf(fd: Fd): boolean {
  return statfsSync(`/proc/self/fd/${fd.number}`).type === DMA_BUF_MAGIC;
}

/** Maps the first `length` bytes of `fd`, which the buffer then owns, for reading. Throws SysError. */
export function mapForReading(fd: Fd, length: number): FrameBuffer {
  using owned = new DisposableStack();
  owned.use(fd);
  const dmaBuf = isDmaBuf(fd);
  owned.move();
  return new OwnBuffer(fd, length, dmaBuf, PROT_READ);
}

/** Makes a handle and a descriptor for every buffer of `source`. Throws UnavailableError if a buffer has no descriptor. */
export function exportDescriptors(source: Source): Exporter {
  using owned = new DisposableStack();
  const descriptors = source.frames.map((frame) => owned.use(source.share(frame.index)));
  const handles = source.frames.map((frame) => ({
    kind: "descriptor" as const,
    id: BigInt(frame.index + 1),
    length: source.picture.sizeimage,
  }));
  const release = owned.move();
  return {
    name: "fd",
    handles,
    descriptor: (index) => descriptors[index]?.number,
    [Symbol.dispose]: () => release.dispose(),
  };
}

/** Maps handles that came with a descriptor. */
export function importDescriptors(): Importer {
  return {
    name: "fd",
    kind: "descriptor",
    import: (handle, { sizeimage }, passed) => {
      if (passed === undefined)
        throw new ProtocolError(`handle ${handle.id}: no descriptor came with it`);
      using owned = new DisposableStack();
      owned.use(passed);
      checkDescriptor(passed, `handle ${handle.id}`, handle.length);
      owned.move();
      return needed(
        () => mapForReading(passed, Math.min(handle.length, sizeimage)),
        () => "",
      );
    },
    [Symbol.dispose]: () => undefined,
  };
}

/**
 * Checks that the sender cannot truncate this memory later, which would end our process with SIGBUS: it has to be a
 * dma-buf, or a memfd sealed against shrinking. Throws ProtocolError.
 */
export function checkDescriptor(fd: Fd, who: string, length: number): void {
  if (!isDmaBuf(fd)) {
    const seals = sealsOf(fd.number);
    if (seals < 0) {
      throw new ProtocolError(`${who}: its descriptor is neither a dma-buf nor a memfd`);
    }
    if ((seals & F_SEAL_SHRINK) === 0) {
      throw new ProtocolError(`${who}: its memfd is not sealed against shrinking (F_SEAL_SHRINK)`);
    }
  }
  const size = endOf(fd.number);
  if (size < length) {
    throw new ProtocolError(`${who}: its descriptor has ${Math.max(0, size)} bytes, not ${length}`);
  }
}
