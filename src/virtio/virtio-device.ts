// The interface between a virtio device and its transport. A device works with requests and guest memory; rings, sockets and
// descriptors belong to the transport.
import type { Loop } from "../loop.ts";
import type { SharedMemory } from "./shared-memory.ts";

/** A contiguous piece of guest memory, in host memory. */
export interface Span {
  /** Host address of the first byte. */
  readonly address: number;
  readonly length: number;
  /** The memory; detached (length 0) when its memory table is gone. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The file that is mapped, and where in it the span begins, for dma-buf use. The transport owns the descriptor. */
  readonly fd: number;
  readonly offset: number;
}

/** Turns guest physical addresses into host memory. */
export interface GuestMemory {
  /**
   * The spans, in order, of the guest physical range [address, address + length); one span when the range is in one region
   * and at most 1 GiB long. Undefined when a byte of it is outside guest memory, and for an empty range.
   */
  resolve(address: bigint, length: bigint): readonly Span[] | undefined;
  /** The host address of a guest physical range that is in one region; -1 when it is not, also for NaN. Allocates nothing. */
  place(address: number, length: number): number;
  /** Increases when the table changes; spans of an older generation must not be used. */
  readonly generation: number;
}

/** Readable bytes of one request; a longer one is refused before anything is allocated. */
export const MAX_REQUEST_BYTES = 1 << 20;

/** One request of a driver: its bytes, copied once, and room for one answer. */
export interface Request {
  /** A copy of the device-readable part, at most MAX_REQUEST_BYTES. Empty once `VirtioDevice.request` has returned. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Bytes of the device-writable part. */
  readonly room: number;
  /**
   * Writes the answer, cut to `room`, and returns the chain to the driver; the used length is what was written. An empty answer
   * returns a chain without a writable part. `bytes` is copied at once. A second call does nothing. Answers may come in any order,
   * and a chain may stay unanswered for ever. While the ring is stopped the answer is kept until it runs again; after a reset it
   * is dropped.
   */
  answer(bytes: Uint8Array): void;
}

/** A virtio device: made for a connection and disposed with it. */
export interface VirtioDevice extends Disposable {
  /** Virtio device id; 31 is a video decoder. */
  readonly deviceId: number;
  /** Feature bits of the device type, 0 to 23. */
  readonly features: bigint;
  readonly queues: number;
  /** The queue whose buffers wait for events. It is used in order, so it can always resume at the used index. */
  readonly eventQueue: number;
  /** Bytes of its shared memory region 0: a power of two of at least REGION_GRAIN. Absent: the device has no region. */
  readonly sharedMemoryBytes?: number | undefined;
  /**
   * A driver is harmed by an answer that comes later than this after its request. The transport then drops answers that it had to
   * keep for longer, and does not take chains again that an earlier process left. Absent: an answer is never too late.
   */
  readonly answerLimitMs?: number;
  /** The config space. Called for each read of the guest, so it should return the same bytes again. */
  config(): Uint8Array<ArrayBuffer>;
  /** Called when the driver starts: its features are negotiated and its memory is mapped. Called again after a reset. */
  start(host: DeviceHost): void;
  /** Takes a request of `queue`, which must be answered once, now or later. */
  request(queue: number, request: Request): void;
  /**
   * The rings stop: the machine is paused, or the driver has ended. Guest memory must not be written until `resume` or the
   * next `start`. Until then the transport keeps answers.
   */
  pause(): void;
  /** The driver was only paused and continues. */
  resume(): void;
  /** The driver has ended, or a new one starts: all its state is dropped, its requests are not answered. */
  reset(): void;
  /** The memory table changed: spans of the old one must not be used any more, `memory` has the new ones. */
  memoryChanged(memory: GuestMemory): void;
}

/** The loop for a device: a handler that throws ends only the connection. */
export type DeviceLoop = Pick<Loop, "watch" | "every" | "after">;

/** What a device may use while it runs. */
export interface DeviceHost {
  readonly loop: DeviceLoop;
  readonly memory: GuestMemory;
  readonly ackedFeatures: bigint;
  /**
   * The region of the device. Undefined when it has none, when the monitor does not support it, and when the monitor cannot be
   * asked any more. Read it each time.
   */
  readonly sharedMemory: SharedMemory | undefined;
  /** Logs a fault of the guest, within the limit of the connection. */
  complain(text: string): void;
  /** Counts a request that was refused. */
  refused(): void;
}
