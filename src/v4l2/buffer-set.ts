// The buffers of a camera, made by one of the memory types and handed to the driver, all of them or none.
import { SysError } from "../../ffi/errno.ts";
import type { Piece } from "../../ffi/gather.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import type { Negotiated } from "../capture/negotiate.ts";
import { type Cut, piecesOf } from "../capture/pieces.ts";
import { log } from "../cli/log.ts";
import { UnavailableError } from "../errors.ts";
import { type Allocator, heapAllocator, memfdAllocator } from "../frame/memory.ts";
import type { CaptureBuffers } from "./buffers.ts";
import { heapBuffers } from "./buffers-dmabuf.ts";
import { mapBuffers } from "./buffers-mmap.ts";
import { placedBuffers } from "./buffers-userptr.ts";
import { deviceAdvice, type VideoDevice } from "./device.ts";
import { BufferQueue } from "./queue.ts";

export interface BufferOptions {
  readonly buffers: number;
  readonly heap: string;
  /** How `heap` becomes an allocator of dma-bufs; throws SysError. DMA heaps where nothing else is said. */
  readonly openHeap?: (path: string) => Allocator;
  /** Where the buffers are to be, with V4L2_MEMORY_USERPTR; sources without a device have theirs there too. */
  readonly allocator?: Allocator | undefined;
  /** Queue the buffers when the stream starts, not before: they are to be exported first. */
  readonly queueAtStart?: boolean | undefined;
}

/** The memory types by V4L2's number, as error texts spell them. */
const memoryNames: Record<number, string> = {
  [v.V4L2_MEMORY_MMAP]: "MMAP",
  [v.V4L2_MEMORY_USERPTR]: "USERPTR",
  [v.V4L2_MEMORY_DMABUF]: "DMABUF",
};

/** A driver that refused the memory type at REQBUFS or QBUF, or a heap that could not serve it. */
export class Refused extends Error {
  /** What to do when no other memory type will do. */
  readonly advice: string;
  constructor(cause: SysError, advice: string) {
    super(cause.message, { cause });
    this.advice = advice;
  }
}

/** The queue with its buffers, all of them handed to the driver. */
export interface BufferSet extends Disposable {
  readonly queue: BufferQueue;
  readonly memory: CaptureBuffers;
  /** What is sent of each buffer. */
  readonly pieces: readonly (readonly Piece[])[];
  readonly queued: boolean[];
}

/** Makes the buffers and queues them, unless that is for later. Throws Refused (DMABUF, USERPTR) or UnavailableError. */
export function makeBuffers(
  device: VideoDevice,
  agreed: Negotiated,
  cut: Cut,
  options: BufferOptions,
  memoryType: number,
): BufferSet {
  const queue = new BufferQueue(device, agreed.type, memoryType, agreed.planes.length);
  const refuse = (call: string, code: number) => {
    const error = new SysError(call, `${device.path} (${memoryNames[memoryType]})`, -code);
    const advice = deviceAdvice(error);
    if (memoryType !== v.V4L2_MEMORY_MMAP) return new Refused(error, advice || "use --memory mmap");
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
  const sizes = agreed.planes.map((plane) => plane.sizeimage);
  const memory = owned.use(takeMemory(queue, count, { sizes, needs: cut.needs }, options));
  const pieces = memory.buffers.map((planes) => piecesOf(cut, planes));
  const queued = new Array<boolean>(count).fill(options.queueAtStart !== true);
  for (let index = 0; queued[index] === true; index++) {
    const r = memory.queue(index);
    if (r < 0) throw refuse("VIDIOC_QBUF", r);
  }
  const release = owned.move();
  return {
    queue,
    memory,
    pieces,
    queued,
    [Symbol.dispose]: () => release.dispose(),
  };
}

/** Memory for `count` buffers: `sizes` of each plane where it is ours, at least `needs` where it is the driver's. */
function takeMemory(
  queue: BufferQueue,
  count: number,
  planes: { readonly sizes: readonly number[]; readonly needs: readonly number[] },
  { heap, openHeap = heapAllocator, allocator = memfdAllocator }: BufferOptions,
): CaptureBuffers {
  const { sizes, needs } = planes;
  if (queue.memory === v.V4L2_MEMORY_MMAP) return mapBuffers(queue, count, needs);
  if (queue.memory === v.V4L2_MEMORY_USERPTR) return placedBuffers(queue, count, sizes, allocator);
  try {
    return heapBuffers(queue, count, sizes, openHeap(heap));
  } catch (error) {
    if (error instanceof SysError) {
      throw new Refused(error, "name another --heap, or use --memory mmap");
    }
    throw error;
  }
}
