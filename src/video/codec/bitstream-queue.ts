// The bitstream side of a decoder: moves the guest's INPUT resources to the V4L2 OUTPUT queue.
import { errno, SysError } from "../../../ffi/errno.ts";
import { V4L2_FIELD_NONE } from "../../../ffi/linux/videodev2.ts";
import type { VideoDevice } from "../../v4l2/device.ts";
import type { QueueFormat } from "../../v4l2/format.ts";
import { Queue } from "../../v4l2/queue.ts";
import type { Resource } from "../resource.ts";
import { INPUT } from "../structs.ts";
import type { StreamClient } from "./codec.ts";
import { canShare, DecoderBuffers } from "./decoder-buffers.ts";
import { gatherBitstream } from "./resource-copies.ts";

/** MMAP buffers to ask for: enough to keep a decoder busy. */
const BUFFERS = 6;
/** Timestamps that are remembered; far more than bitstream buffers whose pictures can be outstanding. */
const STAMPS = 1024;

export class BitstreamQueue implements Disposable {
  readonly buffers: DecoderBuffers<"output">;
  readonly #queue: Queue<"output">;
  readonly #client: StreamClient;
  /** The resource whose bitstream each V4L2 buffer holds. */
  readonly #owners: (Resource | undefined)[] = [];
  // V4L2 copies timestamps in microseconds, and guests have 64 bits of nanoseconds. So V4L2 gets a running number.
  readonly #stamps = new BigUint64Array(STAMPS);
  readonly #payload = { bytesused: [0], tsSec: 0, tsUsec: 0, field: V4L2_FIELD_NONE };
  #key = 0;
  #bytes = 0;
  /** Buffers that were queued, and how many of them with a copy. */
  handed = 0;
  copied = 0;

  constructor(device: VideoDevice, multiplanar: boolean, client: StreamClient) {
    this.#queue = new Queue(device, "output", multiplanar);
    this.buffers = new DecoderBuffers(this.#queue, "bitstream");
    this.#client = client;
  }

  /** The decoder holds bitstream, so the format cannot change. */
  get busy(): boolean {
    return this.#queue.queuedCount > 0;
  }

  /** The guest's timestamp for a running number that V4L2 copied. */
  stamp(key: number): bigint {
    return this.#stamps[key % STAMPS] ?? 0n;
  }

  /** Queues waiting bitstream while there are free buffers. Throws SysError. */
  feed(format: QueueFormat): void {
    while (this.#client.inputsWaiting > 0) {
      if (!this.buffers.allocated) this.#make(format);
      if (this.buffers.free() < 0) return;
      const resource = this.#client.takeInput();
      if (resource === undefined) return;
      this.#hand(resource, format);
      this.#queue.start();
    }
  }

  #make(format: QueueFormat): void {
    this.#bytes = format.planes[0]?.sizeimage ?? 0;
    const share = this.#client.resources(INPUT).every((r) => canShare(r, this.#bytes));
    this.buffers.make({ share, count: BUFFERS, planes: 1 });
  }

  #hand(resource: Resource, format: QueueFormat): void {
    const queue = this.#queue;
    const key = ++this.#key;
    this.#stamps[key % STAMPS] = resource.timestamp;
    this.#payload.bytesused[0] = resource.size;
    this.#payload.tsSec = Math.floor(key / 1e6);
    this.#payload.tsUsec = key % 1e6;
    const inPlace = this.buffers.onGuestMemory;
    const address = inPlace ? (resource.contiguous ?? 0) : 0;
    const index = this.buffers.free(address);
    const r = inPlace ? this.#share(index, resource, address) : this.#copy(index, resource);
    if (r < 0 && inPlace && !queue.streaming && queue.queuedCount === 0) {
      this.buffers.copyFromNowOn();
      this.#make(format);
      this.#hand(resource, format);
      return;
    }
    if (r === -errno.EINVAL || r === -errno.EFAULT) {
      this.#client.inputDone(resource, true); // the driver refuses this buffer; it may take the next one
      return;
    }
    if (r < 0) throw new SysError("VIDIOC_QBUF", queue.device.path, -r);
    this.#owners[index] = resource;
    this.handed++;
    if (!inPlace) this.copied++;
  }

  /** QBUF with the guest's memory; 0 or a negative errno. */
  #share(index: number, resource: Resource, address: number): number {
    if (!canShare(resource, this.#bytes)) return -errno.EINVAL;
    const memory = this.buffers.at(address, resource.length);
    const r = this.#queue.queueFilled(index, this.#payload, memory);
    if (r >= 0) this.buffers.pinned(index, address);
    return r;
  }

  /** QBUF with a copy in the driver's buffer; 0 or a negative errno. */
  #copy(index: number, resource: Resource): number {
    if (!this.#gather(index, resource)) return -errno.EINVAL;
    return this.#queue.queueFilled(index, this.#payload);
  }

  /** Gathers the bitstream into the driver's buffer; false when it does not fit or its memory is gone. */
  #gather(index: number, resource: Resource): boolean {
    const mapping = this.buffers.mapping(index, 0);
    if (mapping === undefined || resource.size > mapping.length) return false;
    return gatherBitstream(resource, mapping.address);
  }

  /** Returns the resources that the decoder has read. Throws SysError. */
  collect(): void {
    while (this.#queue.streaming && this.#queue.queuedCount > 0) {
      const index = this.buffers.dequeue();
      if (index < 0) return;
      const owner = this.#owners[index];
      this.#owners[index] = undefined;
      if (owner !== undefined) this.#client.inputDone(owner, this.#queue.error);
    }
  }

  /** For a seek: drops what the decoder has not read. */
  stop(): void {
    this.#queue.stop();
    this.#owners.length = 0;
  }

  release(): void {
    this.buffers.release();
    this.#owners.length = 0;
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
