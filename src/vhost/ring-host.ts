// The interface through which a ring uses its connection. Queues implements it.
import type { Loop } from "../loop.ts";
import type { VirtioDevice } from "../virtio/virtio-device.ts";
import type { QueueCounts } from "./counts.ts";
import type { MemoryTable } from "./memory.ts";

/** State of the device; Queues changes it. */
export type DeviceState = "idle" | "running" | "paused" | "failed";

/** What a ring uses of its connection. */
export interface RingHost {
  readonly loop: Loop;
  readonly memory: MemoryTable;
  readonly counts: QueueCounts;
  readonly device: VirtioDevice;
  /** Chains are taken while it is "running". */
  readonly state: DeviceState;
  /** Increases with each reset: answers to requests of an earlier driver are dropped. */
  readonly driver: number;
  /** True while chains of a ring are taken, and in handlers of the device: the driver is interrupted once, at the end. */
  batch: boolean;
  /** Ends it, and interrupts the driver where it wants that. */
  endBatch(): void;
  /** Logs a fault of the guest, within the limit of the connection. */
  complain(text: string): void;
  /** The device threw: the connection ends. */
  failed(error: unknown): void;
}
