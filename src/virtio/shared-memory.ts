// The shared memory region of a device: VIRTIO 1.2, 2.10. A window of guest addresses, in which the monitor maps files of the
// device when the device asks. The transport implements it.
import type { BufferMemory } from "./buffer-memory.ts";

/** How long a monitor may take to map. Below the time in which a device must answer its driver. */
export const MAP_LIMIT_MS = 2000;

/** A file that the monitor has mapped in the region. */
export interface RegionMapping {
  /** Where it begins in the region: a multiple of REGION_GRAIN. */
  readonly offset: number;
  /**
   * Asks the monitor to remove it. The space is used again, and the quota is given back, when the monitor has done so. A second
   * call, and a call after a reset, do nothing. The memory may be disposed before or after.
   */
  unmap(): void;
}

export interface SharedMemory {
  /** Bytes of the region, a power of two. It cannot change while the guest exists. */
  readonly size: number;
  /**
   * Asks the monitor to map all of `memory`. `done` is called once, with the mapping, or with undefined when the region is full,
   * the monitor refuses, does not answer within MAP_LIMIT_MS, or cannot be reached any more. It may be called before `map` returns.
   * It is not called after a reset of the device or at the end of the connection: the transport then removes all mappings itself.
   */
  map(
    memory: BufferMemory,
    writable: boolean,
    done: (mapping: RegionMapping | undefined) => void,
  ): void;
}
