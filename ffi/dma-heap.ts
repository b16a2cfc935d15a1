// DMA heaps, and the sync ioctl of dma-bufs.
import { must } from "./errno.ts";
import { Fd, O_CLOEXEC, O_RDONLY, O_RDWR } from "./fd.ts";
import { ioctl } from "./ioctl.ts";
import {
  DMA_BUF_IOCTL_SYNC,
  DMA_HEAP_IOCTL_ALLOC,
  dmaBufSync,
  dmaHeapAllocationData,
} from "./linux/dma-heap.ts";

/** An open DMA heap, /dev/dma_heap/NAME. */
export class DmaHeap implements Disposable {
  readonly #fd: Fd;

  /** Opens a heap. Throws SysError. */
  constructor(path: string) {
    this.#fd = Fd.open(path, O_RDONLY);
  }

  /** Allocates a dma-buf of at least `length` bytes. Throws SysError. */
  allocate(length: number): Fd {
    const request = dmaHeapAllocationData.alloc();
    request.len = length;
    request.fd_flags = O_RDWR | O_CLOEXEC;
    const r = ioctl(this.#fd.number, DMA_HEAP_IOCTL_ALLOC, request);
    must(r, "DMA_HEAP_IOCTL_ALLOC", `${this.#fd.name} (${length} bytes)`);
    return new Fd(request.fd, "dma-buf");
  }

  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }
}

const requests = Array.from({ length: 8 }, (_, flags) => {
  const request = dmaBufSync.alloc();
  request.flags = flags;
  return request;
});

/** DMA_BUF_IOCTL_SYNC with these flags. Answers 0 or a negative errno. Allocates nothing. */
export function syncDmaBuf(fd: number, flags: number): number {
  const request = requests[flags];
  if (request === undefined) throw new RangeError(`DMA_BUF_IOCTL_SYNC flags ${flags}`);
  return ioctl(fd, DMA_BUF_IOCTL_SYNC, request);
}
