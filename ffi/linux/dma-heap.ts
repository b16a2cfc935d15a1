// <linux/dma-heap.h> and <linux/dma-buf.h>
import { iow, iowr } from "../ioctl.ts";
import { n64, struct, u32 } from "../struct.ts";

export const dmaHeapAllocationData = struct("struct dma_heap_allocation_data", 24, {
  len: n64(0),
  fd: u32(8),
  fd_flags: u32(12),
  heap_flags: n64(16),
});
export const DMA_HEAP_IOCTL_ALLOC = iowr("DMA_HEAP_IOCTL_ALLOC", "H", 0, dmaHeapAllocationData);

export const dmaBufSync = struct("struct dma_buf_sync", 8, { flags: n64(0) });
export const DMA_BUF_IOCTL_SYNC = iow("DMA_BUF_IOCTL_SYNC", "b", 0, dmaBufSync);
export const DMA_BUF_SYNC_READ = 1;
export const DMA_BUF_SYNC_WRITE = 2;
export const DMA_BUF_SYNC_START = 0;
export const DMA_BUF_SYNC_END = 4;
