// Makes the buffers of a queue with one of the memory types, and hands them to the driver: all of them or none.
import { SysError } from "../../ffi/errno.ts";
import { counted } from "../cli/counted.ts";
import { log } from "../cli/log.ts";
import { MemoryRefused, UnavailableError } from "../errors.ts";
import { type Allocator, heapAllocator, memfdAllocator } from "../frame/memory.ts";
import type { Buffers, PlaneSizes } from "./buffers.ts";
import { dmabufBuffers } from "./buffers-dmabuf.ts";
import { mmapBuffers } from "./buffers-mmap.ts";
import { userptrBuffers } from "./buffers-userptr.ts";
import { deviceAdvice, unavailable } from "./device.ts";
import type { MemoryType, Queue } from "./queue.ts";

export interface BufferOptions {
  /** How many to ask for. */
  readonly buffers: number;
  /** Path of the DMA heap, for DMABUF. */
  readonly heap: string;
  /** Opens `heap`; throws SysError. The default opens a DMA heap. */
  readonly openHeap?: (path: string) => Allocator;
  /** Where the buffers are allocated, for USERPTR. The default is a memfd for each. */
  readonly allocator?: Allocator | undefined;
}

/**
 * Requests the buffers and makes their memory; disposing it frees both. Throws MemoryRefused (DMABUF, USERPTR) or
 * UnavailableError.
 */
export function makeBuffers(
  queue: Queue,
  memory: MemoryType,
  planes: PlaneSizes,
  options: BufferOptions,
): Buffers {
  const { path } = queue.device;
  using owned = new DisposableStack();
  const count = queue.request(options.buffers, memory, planes.sizes.length);
  if (count < 0) throw refusal(queue, "VIDIOC_REQBUFS", count);
  owned.defer(() => queue.free()); // runs last: the driver keeps buffers that are mapped
  if (count < 1 || count > 64) {
    throw new UnavailableError(
      `VIDIOC_REQBUFS ${path}: the driver gave ${count} buffers, 1 to 64 will do`,
    );
  }
  if (count !== options.buffers)
    log.info(`${path}: ${counted(count, "buffer")}, asked for ${options.buffers}`);
  const made = owned.use(allocate(queue, count, planes, options));
  const release = owned.move();
  return { ...made, [Symbol.dispose]: () => release.dispose() };
}

function allocate(
  queue: Queue,
  count: number,
  { sizes, needs }: PlaneSizes,
  { heap, openHeap = heapAllocator, allocator = memfdAllocator }: BufferOptions,
): Buffers {
  if (queue.memory === "mmap") return mmapBuffers(queue, count, needs);
  if (queue.memory === "userptr") return userptrBuffers(count, sizes, allocator);
  try {
    return dmabufBuffers(queue, count, sizes, openHeap(heap));
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    throw new MemoryRefused(error, "name another --heap, or use --memory mmap");
  }
}

/** Hands every buffer to the driver. Throws MemoryRefused (DMABUF, USERPTR) or UnavailableError. */
export function queueAll(queue: Queue<"capture">, { given }: Buffers): void {
  for (let index = 0; index < queue.count; index++) {
    const r = queue.queueEmpty(index, given[index]);
    if (r < 0) throw refusal(queue, "VIDIOC_QBUF", r);
  }
}

/** The error for a driver that refuses buffers: with MMAP there is no other memory type to try. */
function refusal({ device, memory }: Queue, call: string, r: number): UnavailableError {
  const error = new SysError(call, `${device.path} (${memory.toUpperCase()})`, -r);
  if (memory === "mmap") return unavailable(error);
  return new MemoryRefused(error, deviceAdvice(error) || "use --memory mmap");
}
