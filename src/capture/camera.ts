// A V4L2 capture device as a source: buffers made by one of the memory types, lent out one frame at a time.
import { errno, SysError } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import { int } from "../../ffi/ioctl.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { log } from "../cli/log.ts";
import { MemoryRefused, SourceEnded, UnavailableError, UsageError } from "../errors.ts";
import { Frame } from "../frame/frame.ts";
import type { Source } from "../frame/source.ts";
import { type BufferOptions, type BufferSet, makeBuffers, Refused } from "../v4l2/buffer-set.ts";
import { deviceAdvice, type VideoDevice } from "../v4l2/device.ts";
import { type CaptureWish, type Negotiated, negotiate } from "./negotiate.ts";
import { type Cut, cutPicture } from "./pieces.ts";

export const memoryTypes = ["auto", "dmabuf", "mmap"] as const;

export interface CameraOptions extends CaptureWish, BufferOptions {
  readonly memory: (typeof memoryTypes)[number] | "userptr";
}

/**
 * Opens a camera on `device` (which it then owns): negotiates, makes the buffers, queues them all.
 * `auto` tries DMABUF and, when the heap, REQBUFS or a QBUF refuses, lets go of everything and takes MMAP.
 * Throws UnavailableError or UsageError; MemoryRefused when the driver does not capture into memory that is given.
 */
export function openCamera(device: VideoDevice, options: CameraOptions): Source {
  using owned = new DisposableStack();
  owned.use(device);
  if (options.fps === 0) {
    throw new UsageError(`--fps 0 is for testsrc and recordings; ${device.path} is a camera`);
  }
  const agreed = negotiate(device, options);
  for (const change of agreed.changes) log.warn(`${device.path}: ${change}`);
  const cut = cutPicture(device.path, agreed);
  subscribe(device);
  const make = (type: number) => owned.use(makeBuffers(device, agreed, cut, options, type));
  if (options.memory !== "mmap") {
    const given = options.memory === "userptr";
    try {
      const set = make(given ? v.V4L2_MEMORY_USERPTR : v.V4L2_MEMORY_DMABUF);
      return new Camera(agreed, cut, set, owned.move());
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (given) throw new MemoryRefused(error.message, { cause: error.cause });
      if (options.memory === "dmabuf") {
        throw new UnavailableError(`${error.message}; ${error.advice}`, { cause: error.cause });
      }
      log.info(`${error.message}; using MMAP`);
    }
  }
  return new Camera(agreed, cut, make(v.V4L2_MEMORY_MMAP), owned.move());
}

/** Asks to be told when the signal changes; most cameras have no such event. */
function subscribe(device: VideoDevice): void {
  const wish = v.v4l2EventSubscription.alloc();
  wish.type = v.V4L2_EVENT_SOURCE_CHANGE;
  // videodev2: the id of this event is the number of the input. A device without inputs has number 0.
  const input = int.alloc();
  if (device.ioctl(v.VIDIOC_G_INPUT, input) >= 0) wish.id = input.value;
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
  /** Why a frame that came back could not be queued again. */
  #failure: unknown;

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
    this.frames = set.pieces.map((pieces, i) => new Frame(i, pieces, lender));
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
    this.#failure = undefined;
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
    if (this.#failure !== undefined) throw this.#failure;
    // A driver that fails at once again and again must not keep the loop from turning.
    for (let tries = 0; tries < this.frames.length; tries++) {
      const filled = this.#set.queue.dequeue();
      if (filled === undefined) {
        this.urgent();
        return undefined;
      }
      if (typeof filled === "number") this.#ended("VIDIOC_DQBUF", -filled);
      const { index, flags, sequence } = filled;
      const frame = this.frames[index];
      if (frame === undefined || this.#set.queued[index] !== true) {
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
    return undefined;
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

  /** Takes an event of the device. Throws SourceEnded when it says that the signal changed. */
  urgent(): void {
    if (this.#device.ioctl(v.VIDIOC_DQEVENT, this.#event) < 0) return;
    if (this.#event.type !== v.V4L2_EVENT_SOURCE_CHANGE) return;
    throw new SourceEnded(
      `${this.#device.path}: the signal changed, its format has to be settled anew`,
      true,
    );
  }

  /** Frames are disposed of while other errors are under way: a failure here is told by `next`. */
  #giveBack(frame: Frame): void {
    if (this.#owned.disposed) return;
    try {
      this.#set.memory.end(frame.index);
      if (this.#running) this.#queue(frame.index);
    } catch (error) {
      this.#failure ??= error;
    }
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
