// Feature bits of the transport: VIRTIO 1.2 chapter 6. What a device type has of its own is in bits 0 to 23.

const bit = (number: number) => 1n << BigInt(number);

export const VIRTIO_F_INDIRECT_DESC = bit(28);
export const VIRTIO_F_EVENT_IDX = bit(29);
export const VIRTIO_F_VERSION_1 = bit(32);
export const VIRTIO_F_ACCESS_PLATFORM = bit(33);
export const VIRTIO_F_RING_PACKED = bit(34);

/** What our split queues can do. IN_ORDER is not among it: requests are answered when they are done. */
export const ringFeatures = VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1;
