// The bitstream side of a decoder: the driver's INPUT resources into the V4L2 OUTPUT queue.
import { errno, SysError } from "../../../ffi/errno.ts";
import type { VideoDevice } from "../../v4l2/device.ts";
import type { M2mFormat } from "../../v4l2/format.ts";
import { M2mQueue } from "../../v4l2/m2m-queue.ts";
import type { Resource } from "../resource.ts";
import { INPUT } from "../structs.ts";
import type { StreamClient } from "./codec.ts";
import { canShare, makeBuffers } from "./zero-copy.ts";

/** Buffers of the driver's own: enough to keep a decoder busy. */
const BUFFERS = 6;
/** Timestamps that are remembered; far more than bitstream buffers that can have pictures still to come. */
const STAMPS = 1024;

export class BitstreamQueue implements Disposable {
  readonly #queue: M2mQueue;
  readonly #client: StreamClient;
  /** Whose bitstream each V4L2 buffer holds. */
  readonly #owners: (Resource | undefined)[] = [];
  // V4L2 copies timestamps in microseconds; guests have 64 bits of nanoseconds. So V4L2 gets a running number.
  readonly #stamps = new BigUint64Array(STAMPS);
  #key = 0;
  /** USERPTR was refused when it came to a buffer. */
  #mustCopy = false;
  #bytes = 0;
  /** Buffers the decoder was given, and those whose bytes were copied for it. */
  handed = 0;
  copied = 0;

  constructor(device: VideoDevice, type: number, client: StreamClient) {
    this.#queue = new M2mQueue(device, type);
    this.#client = client;
  }

  get streaming(): boolean {
    return this.#queue.streaming;
  }
  get queued(): number {
    return this.#queue.queuedCount;
  }
  get allocated(): boolean {
    return this.#queue.count > 0;
  }
  get busy(): boolean {
    return this.#queue.queuedCount > 0;
  }
  get zeroCopy(): boolean {
    return this.#queue.userPointers && this.allocated;
  }

  /** The guest's timestamp that V4L2 knows by that number. */
  stamp(key: number): bigint {
    return this.#stamps[key % STAMPS] ?? 0n;
  }

  /** Hands over as much as there are buffers for. Throws SysError. */
  feed(format: M2mFormat): void {
    while (this.#client.inputsWaiting > 0) {
      if (this.#queue.count === 0) this.#make(format);
      if (this.#queue.free() < 0) return;
      const resource = this.#client.takeInput();
      if (resource === undefined) return;
      this.#hand(resource, format);
      this.#queue.start();
    }
  }

  #make(format: M2mFormat): void {
    this.#bytes = format.planes[0]?.sizeimage ?? 0;
    const share =
      !this.#mustCopy && this.#client.resources(INPUT).every((r) => canShare(r, this.#bytes));
    makeBuffers(this.#queue, { name: "bitstream", share, count: BUFFERS, planes: 1 });
  }

  #hand(resource: Resource, format: M2mFormat): void {
    const { size } = resource;
    const key = ++this.#key;
    this.#stamps[key % STAMPS] = resource.timestamp;
    const address = this.#queue.userPointers ? (resource.contiguous ?? 0) : 0;
    const index = this.#queue.free(address);
    let r = -errno.EINVAL;
    if (this.#queue.userPointers) {
      if (canShare(resource, this.#bytes))
        r = this.#queue.queue(index, size, key, address, resource.length);
      if (r < 0 && !this.#queue.streaming && this.#queue.queuedCount === 0) {
        // Refused at the first buffer: copy, for good.
        this.#queue.release();
        this.#mustCopy = true;
        this.#make(format);
        this.#hand(resource, format);
        return;
      }
    } else if (this.#copy(index, resource)) r = this.#queue.queue(index, size, key);
    if (r === -errno.EINVAL || r === -errno.EFAULT) {
      this.#client.inputDone(resource, true); // this buffer will not do; the next may
      return;
    }
    if (r < 0) throw new SysError("VIDIOC_QBUF", this.#queue.device.path, -r);
    this.#owners[index] = resource;
    this.handed++;
    if (address === 0) this.copied++;
  }

  /** Gathers the bitstream into the driver's buffer; false when it does not fit or its memory is gone. */
  #copy(index: number, resource: Resource): boolean {
    const mapping = this.#queue.mapping(index, 0);
    if (mapping === undefined || resource.size > mapping.length) return false;
    let at = mapping.address;
    for (let i = 0; i < resource.planes.length; i++) {
      const length = resource.sizes[i] ?? 0;
      if (!resource.read(at, length, resource.planes[i]?.offset ?? 0)) return false;
      at += length;
    }
    return true;
  }

  /** Gives back what the decoder has read. Throws SysError. */
  collect(): void {
    while (this.#queue.streaming && this.#queue.queuedCount > 0) {
      const index = this.#queue.dequeue();
      if (index === -errno.EAGAIN || index === -errno.EPIPE) return;
      if (index < 0) throw new SysError("VIDIOC_DQBUF", this.#queue.device.path, -index);
      const owner = this.#owners[index];
      this.#owners[index] = undefined;
      if (owner !== undefined) this.#client.inputDone(owner, this.#queue.error);
    }
  }

  /** The memory table changed. */
  forgetPlaces(): void {
    this.#queue.forgetPlaces();
  }

  /** Drops what the decoder has not read: a seek. */
  stop(): void {
    this.#queue.stop();
    this.#owners.length = 0;
  }

  release(): void {
    this.#queue.release();
    this.#owners.length = 0;
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
