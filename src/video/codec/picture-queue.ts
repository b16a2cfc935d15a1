// The picture side of a decoder: the V4L2 CAPTURE queue into the driver's OUTPUT resources. Pictures that come before
// there is a resource for them wait in their V4L2 buffers.
import { errno, SysError } from "../../../ffi/errno.ts";
import type { VideoDevice } from "../../v4l2/device.ts";
import { M2mQueue, MAX_BUFFERS } from "../../v4l2/m2m-queue.ts";
import type { Resource } from "../resource.ts";
import { OUTPUT } from "../structs.ts";
import type { BitstreamQueue } from "./bitstream-queue.ts";
import type { StreamClient } from "./codec.ts";
import type { DecoderParams } from "./decoder-params.ts";
import { canShare, makeBuffers } from "./zero-copy.ts";

/** Buffers beyond what the decoder needs for itself, so that it goes on while one is copied. */
const SPARE = 3;

/** A picture that waits; its fields are used again for the next in the same buffer. */
interface Waiting {
  used: number;
  offset: number;
  key: number;
  failed: boolean;
}

export class PictureQueue implements Disposable {
  readonly #queue: M2mQueue;
  readonly #client: StreamClient;
  readonly #params: DecoderParams;
  readonly #ready: number[] = [];
  readonly #pictures: Waiting[] = [];
  /** USERPTR: whose memory each V4L2 buffer is. */
  readonly #owners: (Resource | undefined)[] = [];
  #mustCopy = false;
  /** The driver has given the last buffer: asking for more is an error until the queue goes on. */
  sawLast = false;
  // The layout of the pictures that come out; the parameters may be those of later ones.
  #colour: DecoderParams["colour"] = [];
  #bytes = 0;
  #memoryPlanes = 1;
  /** Pictures handed over, and those that were copied for it. */
  handed = 0;
  copied = 0;

  constructor(device: VideoDevice, type: number, client: StreamClient, params: DecoderParams) {
    this.#queue = new M2mQueue(device, type);
    this.#client = client;
    this.#params = params;
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
    return this.#queue.streaming;
  }
  get zeroCopy(): boolean {
    return this.#queue.userPointers && this.allocated;
  }
  /** Pictures that wait for a resource. */
  get waiting(): number {
    return this.#ready.length;
  }
  /** The last picture has been handed over. */
  get finished(): boolean {
    return this.sawLast && this.#ready.length === 0;
  }

  /** Makes the buffers if there are none, gives them to the decoder, starts. Throws SysError. */
  start(): void {
    if (this.#queue.count === 0) this.#make();
    this.sawLast = false;
    if (this.#queue.userPointers) this.#share();
    else this.#queueAll();
    if (this.#queue.queuedCount > 0) this.#queue.start();
  }

  #make(): void {
    const { pictures, pictureBytes, colour, minPictures } = this.#params;
    this.#colour = colour;
    this.#bytes = pictureBytes;
    this.#memoryPlanes = pictures.planes.length;
    const share =
      !this.#mustCopy &&
      this.#memoryPlanes === 1 &&
      this.#client.resources(OUTPUT).every((r) => canShare(r, pictureBytes));
    makeBuffers(this.#queue, {
      name: "pictures",
      share,
      count: Math.min(MAX_BUFFERS, Math.max(1, minPictures) + SPARE),
      planes: this.#memoryPlanes,
    });
  }

  #queueAll(): void {
    for (let index = 0; index < this.#queue.count; index++)
      if (!this.#queue.isQueued(index) && !this.#ready.includes(index)) this.#give(index);
  }

  #give(index: number): void {
    const r = this.#queue.queue(index, 0, 0);
    if (r < 0) throw new SysError("VIDIOC_QBUF", this.#queue.device.path, -r);
  }

  /** USERPTR: gives the decoder every resource that may be used. */
  #share(): void {
    while (!this.sawLast && this.#client.outputsWaiting > 0) {
      if (this.#queue.free() < 0) return;
      const resource = this.#client.takeOutput(this.#bytes);
      if (resource === undefined) return;
      const shared = canShare(resource, this.#bytes);
      const address = resource.contiguous ?? 0;
      const index = this.#queue.free(address);
      const r = shared ? this.#queue.queue(index, 0, 0, address, resource.length) : -errno.EINVAL;
      if (r >= 0) {
        this.#owners[index] = resource;
        continue;
      }
      if (!this.#queue.streaming && this.#queue.queuedCount === 0) {
        // Refused at the first buffer: copy, for good.
        this.#client.returnOutput(resource);
        this.#queue.release();
        this.#mustCopy = true;
        this.#make();
        this.#queueAll();
        return;
      }
      this.#client.outputDone(resource, resource.timestamp, 0, true);
    }
  }

  /** Takes what the decoder has finished. Throws SysError. */
  collect(): void {
    const queue = this.#queue;
    while (queue.streaming && queue.queuedCount > 0 && !this.sawLast) {
      const index = queue.dequeue();
      if (index === -errno.EAGAIN) return;
      if (index === -errno.EPIPE) {
        this.sawLast = true;
        return;
      }
      if (index < 0) throw new SysError("VIDIOC_DQBUF", queue.device.path, -index);
      this.#took(index);
    }
  }

  #took(index: number): void {
    const queue = this.#queue;
    const used = queue.bytesused(0);
    if (queue.last) this.sawLast = true;
    if (used === 0 && !queue.error) {
      // Nothing in it: the end mark, or a driver's whim.
      const owner = this.#owners[index];
      this.#owners[index] = undefined;
      if (owner !== undefined) this.#client.returnOutput(owner);
      else if (!queue.last) this.#give(index);
      return;
    }
    this.#pictures[index] ??= { used: 0, offset: 0, key: 0, failed: false };
    const picture = this.#pictures[index];
    picture.used = used;
    picture.offset = queue.dataOffset(0);
    picture.key = queue.key;
    picture.failed = queue.error;
    this.#ready.push(index);
  }

  /** Hands finished pictures over, oldest first, as long as there are resources for them. Throws SysError. */
  deliver(bitstream: BitstreamQueue): void {
    // Some decoders work inside QBUF: what a new buffer has brought is there at once.
    do {
      if (this.#queue.streaming) this.#refill();
      this.collect();
    } while (this.#handOver(bitstream) > 0);
  }

  /** Gives the decoder what it can have. Throws SysError. */
  #refill(): void {
    if (this.#queue.userPointers) this.#share();
    else if (!this.sawLast) this.#queueAll();
  }

  /** How many were handed over. */
  #handOver(bitstream: BitstreamQueue): number {
    const before = this.handed;
    if (this.#queue.userPointers) this.#deliverShared(bitstream);
    else this.#deliverCopies(bitstream);
    return this.handed - before;
  }

  #deliverShared(bitstream: BitstreamQueue): void {
    for (let index = this.#ready.shift(); index !== undefined; index = this.#ready.shift()) {
      const owner = this.#owners[index];
      const picture = this.#pictures[index];
      this.#owners[index] = undefined;
      if (owner === undefined || picture === undefined) continue;
      const bytes = Math.min(picture.used, this.#bytes);
      this.handed++;
      this.#client.outputDone(owner, bitstream.stamp(picture.key), bytes, picture.failed);
    }
  }

  #deliverCopies(bitstream: BitstreamQueue): void {
    while (this.#ready.length > 0) {
      const resource = this.#client.takeOutput(this.#bytes);
      if (resource === undefined) return;
      const index = this.#ready.shift();
      const picture = index === undefined ? undefined : this.#pictures[index];
      if (index === undefined || picture === undefined) return;
      const bytes = Math.min(picture.used, this.#bytes);
      const copied = picture.failed || this.#copy(index, resource, picture);
      const failed = picture.failed || !copied;
      this.handed++;
      this.copied++;
      this.#client.outputDone(
        resource,
        bitstream.stamp(picture.key),
        this.#memoryPlanes > 1 ? this.#bytes : bytes,
        failed,
      );
    }
  }

  /** The one copy of a picture, into as many pieces as the resource has. */
  #copy(index: number, resource: Resource, picture: Waiting): boolean {
    const whole = this.#queue.mapping(index, 0);
    if (whole === undefined || picture.offset > whole.length) return false;
    if (this.#memoryPlanes === 1) {
      const from = whole.address + picture.offset;
      const bytes = Math.min(picture.used, this.#bytes, whole.length - picture.offset);
      if (resource.planes.length === 1)
        return resource.write(from, bytes, resource.planes[0]?.offset ?? 0);
      const places = resource.places(this.#colour);
      if (places.length === 0) return resource.write(from, bytes, 0);
      return this.#colour.every(({ offset, length }, i) =>
        resource.write(
          from + offset,
          Math.max(0, Math.min(length, bytes - offset)),
          places[i] ?? 0,
        ),
      );
    }
    const places = resource.places(this.#colour);
    return this.#colour.every(({ length }, i) => {
      const plane = this.#queue.mapping(index, i);
      return (
        plane !== undefined &&
        resource.write(plane.address, Math.min(length, plane.length), places[i] ?? 0)
      );
    });
  }

  /** After the last picture of a drain, once the decoder was told to go on. Throws SysError. */
  goOn(): void {
    if (!this.#queue.streaming) return;
    // Some drivers forget to forget the last buffer at START: asked now, before anything could come out and be lost.
    const index = this.#queue.dequeue();
    this.sawLast = false;
    if (index >= 0) this.#took(index);
    else if (index === -errno.EPIPE) this.stop();
    this.start();
  }

  /** The memory table changed. */
  forgetPlaces(): void {
    this.#queue.forgetPlaces();
  }

  /** Drops decoded pictures: a seek. */
  stop(): void {
    this.#queue.stop();
    this.#ready.length = 0;
    for (const owner of this.#owners.reverse())
      if (owner !== undefined) this.#client.returnOutput(owner);
    this.#owners.length = 0;
    this.sawLast = false;
  }

  release(): void {
    this.stop();
    this.#queue.release();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
