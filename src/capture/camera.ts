// A V4L2 capture device as a source: buffers made by one of the memory types, lent out one frame at a time.
import { errno, SysError } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { MemoryRefused, SourceEnded, UnavailableError } from "../errors.ts";
import { Frame } from "../frame.ts";
import { log } from "../log.ts";
import { type Allocator, memfdAllocator } from "../memory.ts";
import type { Source } from "../source.ts";
import type { CaptureBuffers } from "./buffers.ts";
import { deviceAdvice, type VideoDevice } from "./device.ts";
import { heapBuffers } from "./dmabuf.ts";
import { mapBuffers } from "./mmap.ts";
import { type CaptureWish, type Negotiated, negotiate } from "./negotiate.ts";
import { type Cut, cutPicture, piecesOf } from "./pieces.ts";
import { BufferQueue } from "./queue.ts";
import { placedBuffers } from "./userptr.ts";

export const memoryTypes = ["auto", "dmabuf", "mmap"] as const;

export interface CameraOptions extends CaptureWish {
  readonly memory: (typeof memoryTypes)[number] | "userptr";
  readonly buffers: number;
  readonly heap: string;
  /** Where the buffers are to be, with "userptr"; sources without a device have theirs there too. */
  readonly allocator?: Allocator | undefined;
}

/** The memory types by V4L2's number, as error texts spell them. */
const memoryNames: Record<number, string> = {
  [v.V4L2_MEMORY_MMAP]: "MMAP",
  [v.V4L2_MEMORY_USERPTR]: "USERPTR",
  [v.V4L2_MEMORY_DMABUF]: "DMABUF",
};

/**
 * Opens a camera on `device` (which it then owns): negotiates, makes the buffers, queues them all.
 * `auto` tries DMABUF and, when the heap, REQBUFS or a QBUF refuses, lets go of everything and takes MMAP.
 * Throws UnavailableError; MemoryRefused when the driver does not take the memory type that was asked for.
 */
export function openCamera(device: VideoDevice, options: CameraOptions): Source {
  using owned = new DisposableStack();
  owned.use(device);
  const agreed = negotiate(device, options);
  for (const change of agreed.changes) log.warn(`${device.path}: ${change}`);
  const cut = cutPicture(agreed);
  subscribe(device);
  const make = (type: number) => owned.use(makeBuffers(device, agreed, cut, options, type));
  if (options.memory === "userptr") {
    return new Camera(agreed, cut, make(v.V4L2_MEMORY_USERPTR), owned.move());
  }
  if (options.memory !== "mmap") {
    try {
      return new Camera(agreed, cut, make(v.V4L2_MEMORY_DMABUF), owned.move());
    } catch (error) {
      if (!(error instanceof MemoryRefused)) throw error;
      if (options.memory === "dmabuf") {
        throw new UnavailableError(`${error.message}; use --memory mmap`, { cause: error.cause });
      }
      log.info(`${error.message}; using MMAP`);
    }
  }
  return new Camera(agreed, cut, make(v.V4L2_MEMORY_MMAP), owned.move());
}

/** The queue with its buffers, all of them handed to the driver. */
interface BufferSet extends Disposable {
  readonly queue: BufferQueue;
  readonly memory: CaptureBuffers;
  readonly queued: boolean[];
}

function makeBuffers(
  device: VideoDevice,
  agreed: Negotiated,
  cut: Cut,
  options: CameraOptions,
  memoryType: number,
): BufferSet {
  const queue = new BufferQueue(device, agreed.type, memoryType, agreed.planes.length);
  const refuse = (call: string, code: number) => {
    const error = new SysError(call, `${device.path} (${memoryNames[memoryType]})`, -code);
    if (memoryType !== v.V4L2_MEMORY_MMAP)
      return new MemoryRefused(error.message, { cause: error });
    const advice = deviceAdvice(error);
    return new UnavailableError(`${error.message}${advice && `; ${advice}`}`, { cause: error });
  };
  using owned = new DisposableStack();
  const count = queue.request(options.buffers);
  if (count < 0) throw refuse("VIDIOC_REQBUFS", count);
  owned.defer(() => queue.request(0)); // after the mappings are gone: the stack ends with the first
  if (count < 1 || count > 64) {
    throw new UnavailableError(
      `VIDIOC_REQBUFS ${device.path}: the driver gave ${count} buffers, 1 to 64 will do`,
    );
  }
  if (count !== options.buffers)
    log.info(`${device.path}: ${count} buffers, asked for ${options.buffers}`);
  const sizes = agreed.planes.map((plane, i) => Math.max(plane.sizeimage, cut.needs[i] ?? 0));
  const memory = owned.use(takeMemory(queue, count, { sizes, needs: cut.needs }, options));
  for (let index = 0; index < count; index++) {
    const r = memory.queue(index);
    if (r < 0) throw refuse("VIDIOC_QBUF", r);
  }
  const release = owned.move();
  return {
    queue,
    memory,
    queued: new Array<boolean>(count).fill(true),
    [Symbol.dispose]: () => release.dispose(),
  };
}

/** Memory for `count` buffers: `sizes` of each plane where it is ours, at least `needs` where it is the driver's. */
function takeMemory(
  queue: BufferQueue,
  count: number,
  planes: { readonly sizes: readonly number[]; readonly needs: readonly number[] },
  options: CameraOptions,
): CaptureBuffers {
  if (queue.memory === v.V4L2_MEMORY_MMAP) return mapBuffers(queue, count, planes.needs);
  if (queue.memory === v.V4L2_MEMORY_USERPTR) {
    return placedBuffers(queue, count, planes.sizes, options.allocator ?? memfdAllocator);
  }
  try {
    return heapBuffers(queue, count, planes.sizes, options.heap);
  } catch (error) {
    if (error instanceof SysError) throw new MemoryRefused(error.message, { cause: error });
    throw error;
  }
}

/** Asks to be told when the signal changes; most cameras have no such event. */
function subscribe(device: VideoDevice): void {
  const wish = v.v4l2EventSubscription.alloc();
  wish.type = v.V4L2_EVENT_SOURCE_CHANGE;
  device.ioctl(v.VIDIOC_SUBSCRIBE_EVENT, wish);
}

class Camera implements Source {
  readonly name: string;
  readonly picture;
  readonly fps;
  readonly frames: readonly Frame[];
  readonly memory: string;
  drops = 0;
  errors = 0;
  readonly #device: VideoDevice;
  readonly #set: BufferSet;
  readonly #cut: Cut;
  readonly #owned: DisposableStack;
  readonly #event = v.v4l2Event.alloc();
  #running = false;
  #lastSequence = -1;

  constructor(agreed: Negotiated, cut: Cut, set: BufferSet, owned: DisposableStack) {
    this.#device = set.queue.device;
    this.#set = set;
    this.#cut = cut;
    this.#owned = owned;
    this.name = `${this.#device.path} (${agreed.card})`;
    this.picture = cut.picture;
    this.fps = agreed.fps;
    this.memory = set.memory.memory;
    const lender = { giveBack: (frame: Frame) => this.#giveBack(frame) };
    this.frames = set.memory.buffers.map(
      (planes, i) => new Frame(i, piecesOf(cut, planes), lender),
    );
  }

  get fd(): number {
    return this.#device.fd;
  }

  get device(): VideoDevice {
    return this.#device;
  }

  share(index: number): Fd {
    if (this.frames[index]?.pieces.length !== 1) {
      throw new UnavailableError(
        `${this.#device.path}: its pictures have padded rows or separate planes`,
      );
    }
    return this.#set.memory.share(index);
  }

  start(): void {
    for (const [index, queued] of this.#set.queued.entries()) {
      if (!queued && this.frames[index]?.lent === false) this.#queue(index);
    }
    const r = this.#set.queue.stream(true);
    if (r < 0) {
      const error = new SysError("VIDIOC_STREAMON", this.#device.path, -r);
      const advice = deviceAdvice(error);
      throw new UnavailableError(`${error.message}${advice && `; ${advice}`}`, { cause: error });
    }
    this.#running = true;
    this.#lastSequence = -1;
  }

  stop(): void {
    if (!this.#running) return;
    this.#running = false;
    this.#set.queue.stream(false);
    this.#set.queued.fill(false);
  }

  next(): Frame | undefined {
    for (;;) {
      const filled = this.#set.queue.dequeue();
      if (filled === undefined) {
        this.#checkEvents();
        return undefined;
      }
      if (typeof filled === "number") this.#ended("VIDIOC_DQBUF", -filled);
      const { index, flags, sequence } = filled;
      const frame = this.frames[index];
      if (frame === undefined || frame.lent) {
        throw new SourceEnded(
          `VIDIOC_DQBUF ${this.#device.path}: buffer ${index} was not queued; the driver is broken`,
          false,
        );
      }
      this.#set.queued[index] = false;
      this.#countGap(sequence);
      const bytesused = this.#bytesused(filled);
      if ((flags & v.V4L2_BUF_FLAG_ERROR) !== 0 || bytesused === 0) {
        this.errors += 1;
        this.#queue(index);
        continue;
      }
      frame.bytesused = bytesused;
      frame.flags = flags;
      frame.sequence = sequence;
      frame.tsSec = filled.tsSec;
      frame.tsUsec = filled.tsUsec;
      this.#set.memory.begin(index);
      return frame.lend();
    }
  }

  /** Bytes of picture in a filled buffer; 0 when what the driver claims cannot be, or planes are short. */
  #bytesused(filled: {
    bytesused(plane: number): number;
    dataOffset(plane: number): number;
  }): number {
    if (!this.#cut.whole) {
      const used = filled.bytesused(0);
      return filled.dataOffset(0) === 0 && used <= this.#cut.picture.sizeimage ? used : 0;
    }
    for (let plane = 0; plane < this.#cut.needs.length; plane++) {
      const short = filled.bytesused(plane) < (this.#cut.needs[plane] ?? 0);
      if (short || filled.dataOffset(plane) !== 0) return 0;
    }
    return this.#cut.picture.sizeimage;
  }

  #countGap(sequence: number): void {
    const gap = (sequence - this.#lastSequence - 1) >>> 0; // sequence numbers wrap at 2^32
    if (this.#lastSequence >= 0 && gap < 0x8000_0000) this.drops += gap;
    this.#lastSequence = sequence;
  }

  #checkEvents(): void {
    if (this.#device.ioctl(v.VIDIOC_DQEVENT, this.#event) < 0) return;
    if (this.#event.type !== v.V4L2_EVENT_SOURCE_CHANGE) return;
    throw new SourceEnded(
      `${this.#device.path}: the signal changed, its format has to be settled anew`,
      true,
    );
  }

  #giveBack(frame: Frame): void {
    this.#set.memory.end(frame.index);
    if (this.#running) this.#queue(frame.index);
  }

  #queue(index: number): void {
    const r = this.#set.memory.queue(index);
    if (r < 0) this.#ended("VIDIOC_QBUF", -r);
    this.#set.queued[index] = true;
  }

  #ended(call: string, code: number): never {
    const error = new SysError(call, this.#device.path, code);
    const gone = code === errno.ENODEV;
    const text = gone ? `${error.message}; the camera was removed` : error.message;
    throw new SourceEnded(text, gone || code === errno.EPIPE || code === errno.EIO, error);
  }

  [Symbol.dispose](): void {
    if (this.#owned.disposed) return;
    this.stop();
    this.#owned.dispose();
  }
}
