// Numbers of VIRTIO 1.2 for split virtqueues: their layout (2.7, little-endian) and the feature bits of the transport (6).

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

const bit = (number: number) => 1n << BigInt(number);

export const VIRTIO_F_INDIRECT_DESC = bit(28);
export const VIRTIO_F_EVENT_IDX = bit(29);
export const VIRTIO_F_VERSION_1 = bit(32);
export const VIRTIO_F_ACCESS_PLATFORM = bit(33);
export const VIRTIO_F_RING_PACKED = bit(34);

/** The features of our split queues. IN_ORDER is not offered: requests are answered when they are done. */
export const ringFeatures = VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1;
