// What a virtio device and its transport are to each other. A device knows requests and guest memory; rings,
// sockets and descriptors are the transport's.
import type { Loop } from "../loop.ts";

/** A stretch of host memory that stands for guest memory. */
export interface Span {
  /** Host address of the first byte. */
  readonly address: number;
  readonly length: number;
  /** The memory itself; detached (length 0) once the memory table it belongs to is gone. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The file behind it and where in it the span begins, for dma-buf use. The descriptor stays the transport's. */
  readonly fd: number;
  readonly offset: number;
}

/** Guest physical addresses to host memory: the only place that does it. */
export interface GuestMemory {
  /**
   * The spans, in order, behind guest physical [address, address + length); one where the host memory is
   * contiguous. Undefined when any byte of the range is outside guest memory, and for an empty range.
   */
  resolve(address: bigint, length: bigint): readonly Span[] | undefined;
  /** Increases whenever the table changes; spans of an older generation must not be used. */
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
   * Writes the answer, cut to `room`, and returns the chain to the driver. The bytes are taken at once. Counts the
   * first time only; kept until the rings run again while they are stopped, dropped after a reset.
   */
  answer(bytes: Uint8Array): void;
}

/** What serves a virtio device: made per front-end connection, disposed when that goes. */
export interface VirtioDevice extends Disposable {
  /** Virtio device id; 31 is a video decoder. */
  readonly deviceId: number;
  /** Feature bits of the device type, 0 to 23. */
  readonly features: bigint;
  readonly queues: number;
  /** The queue whose buffers only wait for events: used in order, so it can always go on at the used index. */
  readonly eventQueue: number;
  /** The config space. */
  config(): Uint8Array<ArrayBuffer>;
  /** The driver is there, features are acknowledged and memory is known. Comes again after a reset. */
  start(host: DeviceHost): void;
  /** A request arrived on `queue`. It is answered now or later, once. */
  request(queue: number, request: Request): void;
  /**
   * The rings stop, and it is not known yet whether for a pause of the machine or for good: guest memory must not be
   * written until `resume` or a new `start`. Answers given meanwhile are kept by the transport.
   */
  pause(): void;
  /** The same driver goes on where it was. */
  resume(): void;
  /** The driver is gone or starts anew: everything it made is dropped, held requests are forgotten unanswered. */
  reset(): void;
  /** The memory table changed: spans of the old one must not be touched any more, `memory` has the new ones. */
  memoryChanged(memory: GuestMemory): void;
}

/** What a device may use of the loop; a handler that throws costs the front-end its connection and nothing else. */
export type DeviceLoop = Pick<Loop, "watch" | "every" | "after">;

/** What a device may use while it runs. */
export interface DeviceHost {
  readonly loop: DeviceLoop;
  readonly memory: GuestMemory;
  readonly ackedFeatures: bigint;
}
