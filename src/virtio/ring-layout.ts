// Where things are in a split virtqueue of n entries: VIRTIO 1.2, 2.7. All little endian.

/** Descriptor: u64 addr, u32 len, u16 flags, u16 next. */
export const DESC_SIZE = 16;
export const DESC_LEN = 8;
export const DESC_FLAGS = 12;
export const DESC_NEXT = 14;
export const VIRTQ_DESC_F_NEXT = 1;
export const VIRTQ_DESC_F_WRITE = 2;
export const VIRTQ_DESC_F_INDIRECT = 4;
/** avail.flags: the driver wants no interrupts. */
export const VIRTQ_AVAIL_F_NO_INTERRUPT = 1;

export const MAX_QUEUE_SIZE = 32_768;

/** The three areas of a queue: bytes as a function of its size, and how they must be aligned. */
export const areas = {
  descriptors: { align: 16, bytes: (size: number) => 16 * size },
  available: { align: 2, bytes: (size: number) => 6 + 2 * size },
  used: { align: 4, bytes: (size: number) => 6 + 8 * size },
} as const;

export type Area = keyof typeof areas;
