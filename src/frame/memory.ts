// Memory for frames that can be shared: dma-bufs from a heap (with processes and devices) or memfds (with processes).
import { DmaHeap, syncDmaBuf } from "../../ffi/dma-heap.ts";
import { must, SysError } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import {
  DMA_BUF_SYNC_END,
  DMA_BUF_SYNC_READ,
  DMA_BUF_SYNC_START,
  DMA_BUF_SYNC_WRITE,
} from "../../ffi/linux/dma-heap.ts";
import { Mapping, type Memory, PROT_READ, PROT_WRITE } from "../../ffi/mapping.ts";
import { log } from "../cli/log.ts";
import type { Explained } from "../cli/tool-text.ts";
import { UnavailableError } from "../errors.ts";

export const DEFAULT_HEAP = "/dev/dma_heap/system";
export const heapFiles: readonly Explained[] = [
  { word: "/dev/dma_heap/*", meaning: "heaps that frame memory can come from, for --heap" },
];
export { DMA_BUF_SYNC_READ as READ, DMA_BUF_SYNC_WRITE as WRITE };

/** A mapped buffer. Call `begin` before and `end` after CPU access; this matters for dma-bufs only. */
export interface FrameBuffer extends Disposable {
  /** The descriptor that is mapped; undefined for a part of a larger mapping. */
  readonly fd: Fd | undefined;
  /** Whether `fd` is a dma-buf, which a device can access. */
  readonly dmaBuf: boolean;
  readonly mapping: Memory;
  /** Call before the CPU reads (READ) or writes (WRITE). Throws SysError. */
  begin(access: number): void;
  /** Call after the access, with the same flags. Throws SysError. */
  end(access: number): void;
  /** Whether the memory was given to another stream since the buffer was made. Only for memory that may be. */
  readonly changed?: (() => boolean) | undefined;
}

/** A buffer with its own descriptor. */
export class OwnBuffer implements FrameBuffer {
  readonly fd: Fd;
  readonly dmaBuf: boolean;
  readonly mapping: Mapping;

  /** Maps the first `length` bytes of `fd`, which it then owns. Throws SysError. */
  constructor(fd: Fd, length: number, dmaBuf: boolean, protection = PROT_READ | PROT_WRITE) {
    this.fd = fd;
    this.dmaBuf = dmaBuf;
    try {
      this.mapping = new Mapping(fd.number, length, fd.name, protection);
    } catch (error) {
      fd[Symbol.dispose]();
      throw error;
    }
  }

  begin(access: number): void {
    if (!this.dmaBuf) return;
    must(
      syncDmaBuf(this.fd.number, access | DMA_BUF_SYNC_START),
      "DMA_BUF_IOCTL_SYNC",
      this.fd.name,
    );
  }

  end(access: number): void {
    if (!this.dmaBuf) return;
    must(syncDmaBuf(this.fd.number, access | DMA_BUF_SYNC_END), "DMA_BUF_IOCTL_SYNC", this.fd.name);
  }

  [Symbol.dispose](): void {
    this.mapping[Symbol.dispose]();
    this.fd[Symbol.dispose]();
  }
}

/** A part of a larger mapping as a buffer. Disposing it disposes `owned`, if given. */
export function partOf(mapping: Memory, owned?: Disposable, changed?: () => boolean): FrameBuffer {
  return {
    changed,
    fd: undefined,
    dmaBuf: false,
    mapping,
    begin: () => undefined,
    end: () => undefined,
    [Symbol.dispose]: () => owned?.[Symbol.dispose](),
  };
}

/** Allocates frame buffers. */
export interface Allocator extends Disposable {
  /** "memfd", or the heap's path. */
  readonly name: string;
  /** Throws SysError, or UnavailableError when there is no room. */
  allocate(length: number): FrameBuffer;
}

/** An allocator whose buffers have their own descriptors. */
interface OwnAllocator extends Allocator {
  allocate(length: number): OwnBuffer;
  /** Why it is not the allocator that was tried first. */
  readonly why?: string;
}

/** Buffers from a DMA heap. Throws SysError when it cannot be opened. */
export function heapAllocator(path: string): OwnAllocator {
  const heap = new DmaHeap(path);
  return {
    name: path,
    allocate: (length) => new OwnBuffer(heap.allocate(length), length, true),
    [Symbol.dispose]: () => heap[Symbol.dispose](),
  };
}

/** Allocates memfds: shared with processes, not with devices. */
export const memfdAllocator: OwnAllocator = {
  name: "memfd",
  allocate: (length) => new OwnBuffer(Fd.memory("framepass", length), length, false),
  [Symbol.dispose]: () => undefined,
};

/**
 * The allocator of a receiver: the DMA heap at `path`. If the heap cannot be opened and the user did not ask for it
 * (`wanted` false), memfds, and `why` says so. Throws UnavailableError.
 */
export function receiveAllocator(path: string, wanted: boolean): OwnAllocator {
  try {
    return heapAllocator(path);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    if (wanted) {
      throw new UnavailableError(
        `${error.message}; choose an existing heap with --heap, or omit --heap`,
        { cause: error },
      );
    }
    return { ...memfdAllocator, why: `${error.message}; receiving into memfd buffers` };
  }
}

/**
 * Opens the allocator of a receiver, then what `openOthers` opens. Memfds do for files, pipes and windows; a camera driver that
 * needs a heap says so when it copies frames. So a missing heap is no warning. Throws UnavailableError, and what `openOthers`
 * throws.
 */
export async function openReceiveMemory(
  { heap, given }: { readonly heap: string; readonly given: ReadonlySet<string> },
  openOthers: () => Promise<void>,
): Promise<Allocator> {
  using owned = new DisposableStack();
  const allocator = owned.use(receiveAllocator(heap, given.has("heap")));
  await openOthers();
  if (allocator.why !== undefined) log.debug(allocator.why);
  owned.move();
  return allocator;
}
