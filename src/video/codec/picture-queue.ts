// The picture side of a decoder: moves pictures of the V4L2 CAPTURE queue to the guest's OUTPUT resources. Pictures for
// which there is no resource yet wait in their V4L2 buffers.
import { errno, SysError } from "../../../ffi/errno.ts";
import type { VideoDevice } from "../../v4l2/device.ts";
import { MAX_BUFFERS, Queue } from "../../v4l2/queue.ts";
import type { Resource } from "../resource.ts";
import { OUTPUT } from "../structs.ts";
import type { BitstreamQueue } from "./bitstream-queue.ts";
import type { StreamClient } from "./codec.ts";
import { type BufferOptions, DecoderBuffers } from "./decoder-buffers.ts";
import type { DecoderParams } from "./decoder-params.ts";

/** Buffers beyond what the decoder needs for itself, so that it continues while one is copied. */
const SPARE = 3;

/** A finished picture in a buffer. Each buffer has one such object, used again for its next picture. */
interface Waiting {
  /** Bytes of picture, and the byte where they begin. */
  used: number;
  offset: number;
  /** BitstreamQueue's number for its bitstream. */
  key: number;
  failed: boolean;
}

export interface PictureOptions extends Omit<BufferOptions, "name"> {
  readonly device: VideoDevice;
  readonly multiplanar: boolean;
  readonly client: StreamClient;
  readonly params: DecoderParams;
}

export class PictureQueue implements Disposable {
  readonly buffers: DecoderBuffers<"capture">;
  readonly #queue: Queue<"capture">;
  readonly #client: StreamClient;
  readonly #params: DecoderParams;
  readonly #ready: number[] = [];
  readonly #pictures: Waiting[] = [];
  /** On guest memory: the resource that each V4L2 buffer is for. */
  readonly #owners: (Resource | undefined)[] = [];
  /** The last buffer of the stream was dequeued: another DQBUF fails until the queue is started again. */
  sawLast = false;
  // The layout of the pictures in the buffers. The parameters may already be those of the next ones.
  #colour: DecoderParams["colour"] = [];
  #bytes = 0;
  #memoryPlanes = 1;
  /** Pictures that were returned to the stream, and how many of them were copied. */
  handed = 0;
  copied = 0;

  constructor({ device, multiplanar, client, params, ways, said }: PictureOptions) {
    this.#queue = new Queue(device, "capture", multiplanar);
    this.buffers = new DecoderBuffers(this.#queue, { name: "pictures", ways, said });
    this.#client = client;
    this.#params = params;
  }

  /** The decoder may write pictures, so the format cannot change. */
  get busy(): boolean {
    return this.#queue.streaming;
  }
  /** The decoder may write to guest memory. */
  get writesToGuest(): boolean {
    return this.buffers.onGuestMemory && this.#queue.queuedCount > 0;
  }
  /** Pictures that wait for a resource. */
  get waiting(): number {
    return this.#ready.length;
  }
  /** The last picture was returned to the stream. */
  get finished(): boolean {
    return this.sawLast && this.#ready.length === 0;
  }

  /** Makes the buffers if there are none, queues them, starts the queue. Throws SysError. */
  start(): void {
    if (!this.buffers.allocated) this.#make();
    this.sawLast = false;
    if (this.buffers.onGuestMemory) this.#share();
    else this.#queueAll();
    if (this.#queue.queuedCount > 0) this.#queue.start();
  }

  #make(): void {
    const { pictures, pictureBytes, colour, minPictures } = this.#params;
    this.#colour = colour;
    this.#bytes = pictureBytes;
    this.#memoryPlanes = pictures.planes.length;
    this.buffers.make({
      resources: this.#client.resources(OUTPUT),
      bytes: pictureBytes,
      count: Math.min(MAX_BUFFERS, Math.max(1, minPictures) + SPARE),
      planes: this.#memoryPlanes,
    });
  }

  #queueAll(): void {
    for (let index = 0; index < this.#queue.count; index++)
      if (!this.#queue.isQueued(index) && !this.#ready.includes(index)) this.#give(index);
  }

  #give(index: number): void {
    const r = this.#queue.queueEmpty(index);
    if (r < 0) throw new SysError("VIDIOC_QBUF", this.#queue.device.path, -r);
  }

  /** On guest memory: queues every resource that may be used. */
  #share(): void {
    while (!this.sawLast && this.#client.outputsWaiting > 0) {
      if (this.buffers.full) return;
      const resource = this.#client.takeOutput(this.#bytes);
      if (resource === undefined) return;
      if (this.#queueResource(resource)) continue;
      if (!this.#queue.streaming && this.#queue.queuedCount === 0) {
        this.#client.returnOutput(resource);
        this.buffers.refused();
        this.#make();
        if (this.buffers.onGuestMemory) continue; // it may take another kind of memory
        this.#queueAll();
        return;
      }
      this.#client.outputDone(resource, resource.timestamp, 0, true);
    }
  }

  /** QBUF for a resource; false when the driver refuses it. */
  #queueResource(resource: Resource): boolean {
    const index = this.buffers.pick(resource, this.#bytes);
    if (this.#queue.queueEmpty(index, this.buffers.place) < 0) return false;
    this.buffers.pinned(index);
    this.#owners[index] = resource;
    return true;
  }

  /** Dequeues the buffers that the decoder has finished. Throws SysError. */
  collect(): void {
    const queue = this.#queue;
    while (queue.streaming && queue.queuedCount > 0 && !this.sawLast) {
      const index = this.buffers.dequeue();
      if (index === -errno.EPIPE) this.sawLast = true;
      if (index < 0) return;
      this.#took(index);
    }
  }

  #took(index: number): void {
    const queue = this.#queue;
    const offset = queue.dataOffset(0);
    const used = Math.max(0, queue.bytesused(0) - offset);
    if (queue.last) this.sawLast = true;
    if (used === 0 && !queue.error) {
      // An empty buffer marks the end; some drivers return one at other times, too.
      const owner = this.#owners[index];
      this.#owners[index] = undefined;
      if (owner !== undefined) this.#client.returnOutput(owner);
      else if (!queue.last) this.#give(index);
      return;
    }
    this.#pictures[index] ??= { used: 0, offset: 0, key: 0, failed: false };
    const picture = this.#pictures[index];
    picture.used = used;
    picture.offset = offset;
    picture.key = queue.tsSec * 1e6 + queue.tsUsec;
    picture.failed = queue.error;
    this.#ready.push(index);
  }

  /** Returns finished pictures to the stream, oldest first, while there are resources for them. Throws SysError. */
  deliver(bitstream: BitstreamQueue): void {
    // Some decoders decode inside QBUF, so that a buffer may be finished as soon as it is queued.
    do {
      if (this.#queue.streaming) this.#refill();
      this.collect();
    } while (this.#handOver(bitstream) > 0);
  }

  /** Returns pictures that were finished in guest memory, and queues nothing new. Throws SysError. */
  settle(bitstream: BitstreamQueue): void {
    this.collect();
    this.#deliverShared(bitstream);
  }

  /** Queues the free buffers. Throws SysError. */
  #refill(): void {
    if (this.buffers.onGuestMemory) this.#share();
    else if (!this.sawLast) this.#queueAll();
  }

  /** Returns pictures to the stream; how many. */
  #handOver(bitstream: BitstreamQueue): number {
    const before = this.handed;
    if (this.buffers.onGuestMemory) this.#deliverShared(bitstream);
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
      const copies = this.buffers.copies(index);
      const failed = picture.failed || (copies && !this.#copy(index, owner, picture));
      this.handed++;
      if (copies) this.copied++;
      this.#client.outputDone(owner, bitstream.stamp(picture.key), bytes, failed);
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

  /** Copies a picture into the pieces of the resource: the only copy of it. */
  #copy(index: number, resource: Resource, picture: Waiting): boolean {
    const whole = this.buffers.mapping(index, 0);
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
      const plane = this.buffers.mapping(index, i);
      return (
        plane !== undefined &&
        resource.write(plane.address, Math.min(length, plane.length), places[i] ?? 0)
      );
    });
  }

  /** Continues after the last picture of a drain, when DECODER_CMD START was given. Throws SysError. */
  goOn(): void {
    if (!this.#queue.streaming) return;
    // Some drivers still report the last buffer after START. Ask now, before a picture could come out and be lost.
    const index = this.#queue.dequeue();
    this.sawLast = false;
    if (index >= 0) this.#took(index);
    else if (index === -errno.EPIPE) this.stop();
    this.start();
  }

  /** For a seek, and when nothing may be written any more: drops decoded pictures. */
  stop(): void {
    this.#queue.stop();
    this.#ready.length = 0;
    for (const owner of this.#owners) if (owner !== undefined) this.#client.returnOutput(owner);
    this.#owners.length = 0;
    this.sawLast = false;
  }

  release(): void {
    this.stop();
    this.buffers.release();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
