// The buffers of a camera, made by one of the memory types and handed to the driver, all of them or none.
import { SysError } from "../../ffi/errno.ts";
import type { Piece } from "../../ffi/gather.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { UnavailableError } from "../errors.ts";
import { log } from "../log.ts";
import { type Allocator, heapAllocator } from "../memory.ts";
import type { CaptureBuffers } from "./buffers.ts";
import { deviceAdvice, type VideoDevice } from "./device.ts";
import { heapBuffers } from "./dmabuf.ts";
import { mapBuffers } from "./mmap.ts";
import type { Negotiated } from "./negotiate.ts";
import { type Cut, piecesOf } from "./pieces.ts";
import { BufferQueue } from "./queue.ts";

export interface BufferOptions {
  readonly buffers: number;
  readonly heap: string;
  /** How `heap` becomes an allocator of dma-bufs; throws SysError. DMA heaps where nothing else is said. */
  readonly openHeap?: (path: string) => Allocator;
}

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

/** Makes the buffers and queues them. Throws Refused (DMABUF) or UnavailableError. */
export function makeBuffers(
  device: VideoDevice,
  agreed: Negotiated,
  cut: Cut,
  options: BufferOptions,
  memoryType: number,
): BufferSet {
  const dmabuf = memoryType === v.V4L2_MEMORY_DMABUF;
  const queue = new BufferQueue(device, agreed.type, memoryType, agreed.planes.length);
  const refuse = (call: string, code: number) => {
    const error = new SysError(call, `${device.path} (${dmabuf ? "DMABUF" : "MMAP"})`, -code);
    const advice = deviceAdvice(error);
    if (dmabuf) return new Refused(error, advice || "use --memory mmap");
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
  const memory = owned.use(
    dmabuf ? tryHeap(queue, count, sizes, options) : mapBuffers(queue, count, cut.needs),
  );
  const pieces = memory.buffers.map((planes) => piecesOf(cut, planes));
  for (let index = 0; index < count; index++) {
    const r = memory.queue(index);
    if (r < 0) throw refuse("VIDIOC_QBUF", r);
  }
  const release = owned.move();
  return {
    queue,
    memory,
    pieces,
    queued: new Array<boolean>(count).fill(true),
    [Symbol.dispose]: () => release.dispose(),
  };
}

function tryHeap(
  queue: BufferQueue,
  count: number,
  sizes: readonly number[],
  { heap, openHeap = heapAllocator }: BufferOptions,
): CaptureBuffers {
  try {
    return heapBuffers(queue, count, sizes, openHeap(heap));
  } catch (error) {
    if (error instanceof SysError) {
      throw new Refused(error, "name another --heap, or use --memory mmap");
    }
    throw error;
  }
}
