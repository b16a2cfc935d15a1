// A shared memory region without a monitor, for tests of devices. It answers at once, when the test says so, or with a refusal.
import type { BufferMemory } from "../../src/virtio/buffer-memory.ts";
import { RegionAllocator } from "../../src/virtio/region-allocator.ts";
import type { RegionMapping, SharedMemory } from "../../src/virtio/shared-memory.ts";

/** What is mapped: as the guest sees it. */
export interface FakeMapping {
  readonly offset: number;
  readonly length: number;
  readonly writable: boolean;
  readonly memory: BufferMemory;
  readonly held: Disposable;
}

type Done = (mapping: RegionMapping | undefined) => void;

export class FakeSharedMemory implements SharedMemory {
  readonly size: number;
  /** How the next requests are answered. "late": when the test calls `answerLate`. */
  mode: "at once" | "late" | "refuse" = "at once";
  /** By offset. */
  readonly mapped = new Map<number, FakeMapping>();
  /** Requests so far. */
  maps = 0;
  unmaps = 0;
  #allocator: RegionAllocator;
  #late: (() => void)[] = [];
  #driver = 0;

  constructor(size: number) {
    this.size = size;
    this.#allocator = new RegionAllocator(size);
  }

  map(memory: BufferMemory, writable: boolean, done: Done): void {
    this.maps += 1;
    const { mode } = this;
    const driver = this.#driver;
    const answer = () => {
      if (driver === this.#driver)
        done(mode === "refuse" ? undefined : this.#add(memory, writable));
    };
    if (mode === "late") this.#late.push(answer);
    else answer();
  }

  #add(memory: BufferMemory, writable: boolean): RegionMapping | undefined {
    const offset = this.#allocator.allocate(memory.fileLength);
    if (offset === undefined) return undefined;
    const held = memory.hold();
    this.mapped.set(offset, { offset, length: memory.fileLength, writable, memory, held });
    const driver = this.#driver;
    return {
      offset,
      unmap: () => {
        if (driver !== this.#driver || !this.mapped.delete(offset)) return;
        this.unmaps += 1;
        this.#allocator.free(offset);
        held[Symbol.dispose]();
      },
    };
  }

  /** Requests that wait for `answerLate`. */
  get waiting(): number {
    return this.#late.length;
  }

  /** Answers the requests that wait, in order. */
  answerLate(): void {
    for (const answer of this.#late.splice(0)) answer();
  }

  /** What the transport does before it calls `reset` of the device: nothing is mapped, and nothing is answered any more. */
  reset(): void {
    this.#driver += 1;
    this.#late = [];
    for (const { held } of this.mapped.values()) held[Symbol.dispose]();
    this.mapped.clear();
    this.#allocator = new RegionAllocator(this.size);
  }
}
