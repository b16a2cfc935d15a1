// What rings and their connection are to each other.
import type { Loop } from "../loop.ts";
import type { Request } from "../virtio/virtio-device.ts";
import type { MemoryTable } from "./memory.ts";

/** Counters for statistics. */
export interface QueueCounts {
  requests: number;
  answers: number;
  interrupts: number;
  malformed: number;
}

/** What a ring uses of its connection. */
export interface RingHost {
  readonly loop: Loop;
  readonly memory: MemoryTable;
  readonly counts: QueueCounts;
  /** Whether the device takes requests now. */
  readonly running: boolean;
  /** Increases with each reset: answers to requests of an earlier driver are dropped. */
  readonly driver: number;
  /** True while chains of a ring are taken: the driver is interrupted once, at the end. */
  batch: boolean;
  /** Hands a request to the device. */
  request(ring: number, request: Request): void;
  /** Logs a fault of the guest, within the limit of the connection. */
  complain(text: string): void;
  /** The device threw: the connection ends. */
  failed(error: unknown): void;
  /** Ends the batch: interrupts the driver for every ring that has new answers. */
  endBatch(): void;
}
