// A V4L2 capture device as a source: its buffers are lent out one frame at a time.
import { errno, SysError } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import { int } from "../../ffi/ioctl.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { log } from "../cli/log.ts";
import { MemoryRefused, needed, SourceEnded, UnavailableError, UsageError } from "../errors.ts";
import { Frame } from "../frame/frame.ts";
import type { Source } from "../frame/source.ts";
import type { Buffers, PlaneSizes } from "../v4l2/buffers.ts";
import { deviceAdvice, type VideoDevice } from "../v4l2/device.ts";
import { bufferType, getColours } from "../v4l2/format.ts";
import { type BufferOptions, makeBuffers, queueAll } from "../v4l2/make-buffers.ts";
import { type MemoryType, NOT_QUEUED, Queue } from "../v4l2/queue.ts";
import { colourNote } from "./colour-note.ts";
import { type CaptureWish, type Negotiated, negotiate } from "./negotiate.ts";
import { type Cut, cutPicture, piecesOf } from "./pieces.ts";

export const memoryTypes = ["auto", "dmabuf", "mmap"] as const;

export interface CameraOptions extends CaptureWish, BufferOptions {
  readonly memory: (typeof memoryTypes)[number] | "userptr";
  /** Queue the buffers when the stream starts, not before: they will be exported first. */
  readonly queueAtStart?: boolean | undefined;
}

/**
 * Opens a camera on `device` (which it then owns): negotiates, makes the buffers, queues them all.
 * `auto` tries DMABUF and, when the heap, REQBUFS or a QBUF refuses, releases everything and takes MMAP.
 * Throws UnavailableError or UsageError; MemoryRefused when the driver does not capture into USERPTR memory.
 */
export function openCamera(device: VideoDevice, options: CameraOptions): Source {
  using owned = new DisposableStack();
  owned.use(device);
  if (options.fps === 0) {
    throw new UsageError(`--fps 0 is for testsrc and recordings; ${device.path} is a camera`);
  }
  const agreed = negotiate(device, options);
  for (const change of agreed.changes) log.warn(`${device.path}: ${change}`);
  sayColours(device, agreed);
  const cut = cutPicture(device.path, agreed);
  subscribe(device);
  const queue = new Queue(device, "capture", agreed.multiplanar);
  const planes = { sizes: agreed.planes.map(({ sizeimage }) => sizeimage), needs: cut.needs };
  const buffers = owned.use(chooseMemory(queue, planes, options));
  return new Camera({ agreed, cut, queue, buffers, owned: owned.move() });
}

/** Makes the buffers with the memory type that was asked for; for "auto" the first that works. */
function chooseMemory(
  queue: Queue<"capture">,
  planes: PlaneSizes,
  options: CameraOptions,
): Buffers {
  const { memory } = options;
  if (memory === "mmap" || memory === "userptr") return offer(queue, memory, planes, options);
  try {
    return offer(queue, "dmabuf", planes, options);
  } catch (error) {
    if (!(error instanceof MemoryRefused)) throw error;
    if (memory === "dmabuf")
      throw new UnavailableError(`${error.message}; ${error.advice}`, { cause: error.cause });
    log.info(`${error.message}; using MMAP`);
    return offer(queue, "mmap", planes, options);
  }
}

/** Makes buffers of one memory type and queues them, unless `queueAtStart` is set. Releases them if it throws. */
function offer(
  queue: Queue<"capture">,
  memory: MemoryType,
  planes: PlaneSizes,
  options: CameraOptions,
): Buffers {
  using owned = new DisposableStack();
  const buffers = owned.use(makeBuffers(queue, memory, planes, options));
  if (options.queueAtStart !== true) queueAll(queue, buffers);
  owned.move();
  return buffers;
}

function sayColours(device: VideoDevice, { fourcc, multiplanar }: Negotiated): void {
  const colours = getColours(device, bufferType("capture", multiplanar));
  const note = colours && colourNote(fourcc, colours);
  if (note !== undefined) log.info(`${device.path}: ${note}`);
}

/** Subscribes to changes of the signal. Most cameras have no such event, so a refusal is ignored. */
function subscribe(device: VideoDevice): void {
  const wish = v.v4l2EventSubscription.alloc();
  wish.type = v.V4L2_EVENT_SOURCE_CHANGE;
  // videodev2: the id of this event is the number of the input. A device without inputs has number 0.
  const input = int.alloc();
  if (device.ioctl(v.VIDIOC_G_INPUT, input) >= 0) wish.id = input.value;
  device.ioctl(v.VIDIOC_SUBSCRIBE_EVENT, wish);
}

interface CameraParts {
  readonly agreed: Negotiated;
  readonly cut: Cut;
  readonly queue: Queue<"capture">;
  readonly buffers: Buffers;
  readonly owned: DisposableStack;
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
  readonly #queue: Queue<"capture">;
  readonly #buffers: Buffers;
  readonly #cut: Cut;
  readonly #owned: DisposableStack;
  readonly #event = v.v4l2Event.alloc();
  #running = false;
  #lastSequence = -1;
  /** Why a frame that was given back could not be queued again; `next` throws it. */
  #failure: unknown;

  constructor({ agreed, cut, queue, buffers, owned }: CameraParts) {
    this.#device = queue.device;
    this.#queue = queue;
    this.#buffers = buffers;
    this.#cut = cut;
    this.#owned = owned;
    this.name = `${this.#device.path} (${agreed.card})`;
    this.picture = cut.picture;
    this.fps = agreed.fps;
    this.memory = buffers.memory;
    const lender = { giveBack: (frame: Frame) => this.#giveBack(frame) };
    this.frames = buffers.mappings.map((planes, i) => new Frame(i, piecesOf(cut, planes), lender));
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
    return this.#buffers.share(index);
  }

  start(): void {
    this.#failure = undefined;
    for (const { index, lent } of this.frames) {
      if (!lent && !this.#queue.isQueued(index)) this.#giveToDriver(index);
    }
    needed(() => this.#queue.start(), deviceAdvice);
    this.#running = true;
    this.#lastSequence = -1;
  }

  stop(): void {
    if (!this.#running) return;
    this.#running = false;
    this.#queue.stop();
  }

  next(): Frame | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    // A driver that returns damaged buffers without end must not block the loop.
    for (let tries = 0; tries < this.frames.length; tries++) {
      const index = this.#queue.dequeue();
      if (index === -errno.EAGAIN) {
        this.urgent();
        return undefined;
      }
      const frame = this.frames[index];
      if (frame === undefined) this.#failed(index);
      this.#countGap(this.#queue.sequence);
      const bytesused = this.#bytesused();
      if (this.#queue.error || bytesused === 0) {
        this.errors += 1;
        this.#giveToDriver(index);
        continue;
      }
      frame.bytesused = bytesused;
      frame.flags = this.#queue.flags;
      frame.sequence = this.#queue.sequence;
      frame.tsSec = this.#queue.tsSec;
      frame.tsUsec = this.#queue.tsUsec;
      this.#buffers.begin(index);
      return frame.lend();
    }
    return undefined;
  }

  /** Bytes of picture in the dequeued buffer; 0 when the driver's figures are impossible, or a plane is too short. */
  #bytesused(): number {
    const queue = this.#queue;
    if (!this.#cut.whole) {
      const used = queue.bytesused(0);
      return queue.dataOffset(0) === 0 && used <= this.#cut.picture.sizeimage ? used : 0;
    }
    for (let plane = 0; plane < this.#cut.needs.length; plane++) {
      const short = queue.bytesused(plane) < (this.#cut.needs[plane] ?? 0);
      if (short || queue.dataOffset(plane) !== 0) return 0;
    }
    return this.#cut.picture.sizeimage;
  }

  #countGap(sequence: number): void {
    const gap = (sequence - this.#lastSequence - 1) >>> 0; // sequence numbers wrap at 2^32
    if (this.#lastSequence >= 0 && gap < 0x8000_0000) this.drops += gap;
    this.#lastSequence = sequence;
  }

  /** Takes an event of the device. Throws SourceEnded for a change of the signal. */
  urgent(): void {
    if (this.#device.ioctl(v.VIDIOC_DQEVENT, this.#event) < 0) return;
    if (this.#event.type !== v.V4L2_EVENT_SOURCE_CHANGE) return;
    throw new SourceEnded(
      `${this.#device.path}: the signal changed, its format has to be negotiated again`,
      true,
    );
  }

  /** Frames are disposed while other errors unwind, so this never throws: `next` throws the failure. */
  #giveBack(frame: Frame): void {
    if (this.#owned.disposed) return;
    try {
      this.#buffers.end(frame.index);
      if (this.#running) this.#giveToDriver(frame.index);
    } catch (error) {
      this.#failure ??= error;
    }
  }

  #giveToDriver(index: number): void {
    const r = this.#queue.queueEmpty(index, this.#buffers.given[index]);
    if (r < 0) this.#ended("VIDIOC_QBUF", -r);
  }

  /** Ends the source after a DQBUF that gave no frame. */
  #failed(r: number): never {
    if (r !== NOT_QUEUED) this.#ended("VIDIOC_DQBUF", -r);
    const what = `VIDIOC_DQBUF ${this.#device.path}: buffer ${this.#queue.index} was not queued`;
    throw new SourceEnded(`${what}; the driver is broken`, false);
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
