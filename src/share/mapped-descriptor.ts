// A buffer that came in as a descriptor, mapped for reading, with CPU access announced where it is a dma-buf.
import { statfsSync } from "node:fs";
import { syncDmaBuf } from "../../ffi/dma-heap.ts";
import { must } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import {
  DMA_BUF_SYNC_END,
  DMA_BUF_SYNC_READ,
  DMA_BUF_SYNC_START,
} from "../../ffi/linux/dma-heap.ts";
import { Mapping, PROT_READ } from "../../ffi/mapping.ts";
import type { Borrowed } from "../frame/sharing.ts";

/** <linux/magic.h>: the file system dma-bufs live in, which no user space can serve. */
const DMA_BUF_MAGIC = 0x444d4142;

/** Whether a descriptor is a dma-buf: those keep their size for life. */
export function isDmaBuf(fd: Fd): boolean {
  return statfsSync(`/proc/self/fd/${fd.number}`).type === DMA_BUF_MAGIC;
}

/** The first `length` bytes of what `fd` is open on, which goes over to the result. Throws SysError. */
export function borrow(fd: Fd, length: number): Borrowed {
  using owned = new DisposableStack();
  owned.use(fd);
  const dmaBuf = isDmaBuf(fd);
  const memory = owned.use(new Mapping(fd.number, length, fd.name, PROT_READ));
  const release = owned.move();
  const sync = (when: number) => {
    if (!dmaBuf) return;
    must(syncDmaBuf(fd.number, DMA_BUF_SYNC_READ | when), "DMA_BUF_IOCTL_SYNC", fd.name);
  };
  return {
    memory,
    begin: () => sync(DMA_BUF_SYNC_START),
    end: () => sync(DMA_BUF_SYNC_END),
    [Symbol.dispose]: () => release.dispose(),
  };
}
