// The bitstream side of a decoder: moves the guest's INPUT resources to the V4L2 OUTPUT queue.
import { errno, SysError } from "../../../ffi/errno.ts";
import { V4L2_FIELD_NONE } from "../../../ffi/linux/videodev2.ts";
import type { VideoDevice } from "../../v4l2/device.ts";
import type { QueueFormat } from "../../v4l2/format.ts";
import { Queue } from "../../v4l2/queue.ts";
import type { Resource } from "../resource.ts";
import { INPUT } from "../structs.ts";
import type { StreamClient } from "./codec.ts";
import { type BufferOptions, DecoderBuffers } from "./decoder-buffers.ts";
import { gatherBitstream } from "./resource-copies.ts";

/** MMAP buffers to ask for: enough to keep a decoder busy. */
const BUFFERS = 6;
/** Timestamps that are remembered; far more than bitstream buffers whose pictures can be outstanding. */
const STAMPS = 1024;

export interface BitstreamOptions extends Omit<BufferOptions, "name"> {
  readonly device: VideoDevice;
  readonly multiplanar: boolean;
  readonly client: StreamClient;
}

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

  constructor({ device, multiplanar, client, ways, said }: BitstreamOptions) {
    this.#queue = new Queue(device, "output", multiplanar);
    this.buffers = new DecoderBuffers(this.#queue, { name: "bitstream", ways, said });
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
      if (this.buffers.full) return;
      const resource = this.#client.takeInput();
      if (resource === undefined) return;
      this.#hand(resource, format);
      this.#queue.start();
    }
  }

  #make(format: QueueFormat): void {
    this.#bytes = format.planes[0]?.sizeimage ?? 0;
    this.buffers.make({
      resources: this.#client.resources(INPUT),
      bytes: this.#bytes,
      count: BUFFERS,
      planes: 1,
    });
  }

  #hand(resource: Resource, format: QueueFormat): void {
    const queue = this.#queue;
    const key = ++this.#key;
    this.#stamps[key % STAMPS] = resource.timestamp;
    this.#payload.bytesused[0] = resource.size;
    this.#payload.tsSec = Math.floor(key / 1e6);
    this.#payload.tsUsec = key % 1e6;
    const { buffers } = this;
    const index = buffers.pick(resource, this.#bytes);
    const copies = buffers.copies(index);
    const fits = !copies || this.#gather(index, resource);
    const r = fits ? queue.queueFilled(index, this.#payload, buffers.place) : -errno.EINVAL;
    if (r < 0 && fits && buffers.onGuestMemory && !queue.streaming && queue.queuedCount === 0) {
      buffers.refused();
      this.#make(format);
      this.#hand(resource, format);
      return;
    }
    if (r === -errno.EINVAL || r === -errno.EFAULT) {
      this.#client.inputDone(resource, true); // the driver refuses this buffer; it may take the next one
      return;
    }
    if (r < 0) throw new SysError("VIDIOC_QBUF", queue.device.path, -r);
    if (buffers.onGuestMemory) buffers.pinned(index);
    this.#owners[index] = resource;
    this.handed++;
    if (copies) this.copied++;
  }

  /** Gathers the bitstream into the memory of a buffer; false when it does not fit or its memory is gone. */
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
