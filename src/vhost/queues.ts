// The rings of a connection and the device behind them: when the device starts, pauses, resumes and is reset. Whether a stop
// was a pause or the end of the driver shows only at the next start.
import type { Loop } from "../loop.ts";
import { VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC } from "../virtio/ring-layout.ts";
import { type Rings, SplitQueue } from "../virtio/split-queue.ts";
import type { DeviceLoop, VirtioDevice } from "../virtio/virtio-device.ts";
import type { QueueCounts } from "./counts.ts";
import type { InflightRegion } from "./inflight.ts";
import type { MemoryTable } from "./memory.ts";
import { MonitorRegion } from "./monitor-region.ts";
import { RequestRefused } from "./request-refused.ts";
import { Ring } from "./ring.ts";
import type { DeviceState, RingHost } from "./ring-host.ts";

/** Makes the device of a connection. */
export type MakeDevice = (loop: DeviceLoop) => VirtioDevice;

/** What the queues report to their connection. */
export interface QueueEvents {
  readonly counts: QueueCounts;
  /** Logs a fault of the guest; the connection limits how many lines. */
  complain(text: string): void;
  /** The device threw: the connection ends. */
  failed(error: unknown): void;
}

export class Queues implements RingHost, Disposable {
  readonly loop: Loop;
  readonly memory: MemoryTable;
  readonly device: VirtioDevice;
  readonly rings: readonly Ring[];
  /** The shared memory region of the device, if it has one. */
  readonly region: MonitorRegion | undefined;
  readonly counts: QueueCounts;
  features = 0n;
  inflight: InflightRegion | undefined;
  state: DeviceState = "idle";
  driver = 0;
  batch = false;
  readonly #deviceLoop: DeviceLoop;
  readonly #events: QueueEvents;

  constructor(loop: Loop, memory: MemoryTable, makeDevice: MakeDevice, events: QueueEvents) {
    this.loop = loop;
    this.memory = memory;
    this.#events = events;
    this.counts = events.counts;
    this.#deviceLoop = guarded(loop, this);
    const device = makeDevice(this.#deviceLoop);
    this.device = device;
    const { sharedMemoryBytes: bytes } = device;
    const about = { loop: this.#deviceLoop, complain: (text: string) => this.complain(text) };
    this.region = bytes === undefined ? undefined : new MonitorRegion(about, bytes);
    this.rings = Array.from({ length: device.queues }, (_, index) => new Ring(index, this));
  }

  /** The ring of that number. Throws RequestRefused. */
  ring(index: number): Ring {
    const ring = this.rings[index];
    if (ring === undefined) throw new RequestRefused(`vring ${index} of ${this.rings.length}`);
    return ring;
  }

  // RingHost: what rings use.

  complain(text: string): void {
    this.#events.complain(text);
  }

  failed(error: unknown): void {
    this.state = "failed";
    this.#events.failed(error);
  }

  endBatch(): void {
    this.batch = false;
    for (const ring of this.rings) ring.notify();
  }

  // Starting and stopping.

  /** Starts a ring that has its size, its addresses and its kick. Throws RequestRefused, and then it stays stopped. */
  start(ring: Ring): void {
    const areas = ring.place.areas();
    const commands = ring.index !== this.device.eventQueue;
    if (ring.resumes(commands)) {
      ring.queue?.bind(areas);
    } else {
      // Another place, or index 0, means a new driver. Requests of the old one are dropped.
      const known = ring.queue !== undefined || (ring.index === 0 && this.state !== "idle");
      if (known) this.reset();
      this.#makeQueue(ring, areas);
    }
    ring.started = true;
    ring.broken = false;
    this.changed(ring);
  }

  #makeQueue(ring: Ring, areas: Rings): void {
    const { index } = ring;
    const { size } = ring.place;
    const tracked = this.inflight;
    const counted = tracked !== undefined && index < tracked.queues && size <= tracked.queueSize;
    const log = counted ? tracked.queue(index) : undefined;
    const queue = new SplitQueue(areas, this.memory, ring.base, {
      size,
      indirect: (this.features & VIRTIO_F_INDIRECT_DESC) !== 0n,
      eventIdx: (this.features & VIRTIO_F_EVENT_IDX) !== 0n,
      log,
    });
    const left = (log?.recover(queue.usedIndex) ?? []).filter((head) => head < size);
    // Event buffers that wait for an event are taken but not used. A new back-end must take them again, so it starts at the
    // used index and not at the base.
    if (left.length > 0 || index === this.device.eventQueue) queue.goOnAtUsed(left.length);
    // Used before, but not by this process as it is now: what waits there may have waited for too long.
    else if (this.device.answerLimitMs !== undefined && queue.usedIndex !== 0) queue.goOnAtNew();
    ring.use(queue, left);
  }

  /** Stops a ring; returns the index of the chain it would have taken next. */
  stop(ring: Ring): number {
    ring.stop();
    this.#follow();
    return ring.base;
  }

  /** Call this after a ring was started, enabled or disabled: the device follows, and the ring is processed at once. */
  changed(ring: Ring): void {
    const before = this.state;
    this.#follow();
    if (ring.serving) ring.publishKept();
    // When the device starts, rings that were ready before it have chains, too.
    const waiting = before === this.state ? [ring] : this.rings;
    for (const each of waiting) each.process();
  }

  #follow(): void {
    const [commands] = this.rings;
    const on = commands?.started === true && commands.enabled;
    if (on && this.state === "idle") {
      this.state = "running";
      const { region } = this;
      if (region !== undefined) region.running = true;
      this.device.start({
        loop: this.#deviceLoop,
        memory: this.memory,
        ackedFeatures: this.features,
        get sharedMemory() {
          return region?.usable === true ? region : undefined;
        },
        complain: (text) => this.complain(text),
        refused: () => {
          this.counts.refused += 1;
        },
      });
    } else if (on && this.state === "paused") {
      this.state = "running";
      if (this.region !== undefined) this.region.running = true;
      this.device.resume();
    } else if (!on && this.state === "running") {
      this.state = "paused";
      if (this.region !== undefined) this.region.running = false;
      this.device.pause();
    }
  }

  // Resetting.

  /** A new driver: the device is reset, requests of the old one are never answered, rings that run get new queues. */
  reset(): void {
    this.driver += 1;
    for (const ring of this.rings) ring.dropWork();
    if (this.state === "failed") return;
    this.region?.reset(); // first: what the device unmaps now must not be asked
    if (this.state !== "idle") this.device.reset();
    this.state = "idle";
    for (const ring of this.rings) {
      if (ring.started && ring.queue !== undefined) ring.base = ring.queue.next;
      ring.forget();
      if (ring.started) this.#orBreak(ring, () => this.#makeQueue(ring, ring.place.areas()));
    }
  }

  /** Does `action`; when it is refused the ring loses its queue and, if it runs, is broken. */
  #orBreak(ring: Ring, action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof RequestRefused)) throw error;
      ring.forget();
      if (!ring.started) return;
      this.complain(`${error.message}: the ring is stopped`);
      ring.break();
    }
  }

  /** Stops and disables all rings and resets the device. */
  resetAll(): void {
    for (const ring of this.rings) {
      ring.stop();
      ring.enabled = false;
      ring.base = 0;
      ring.broken = false;
    }
    this.reset();
  }

  /** Call this after the memory table changed: rings go on in the new one, or are broken where it lacks them. */
  memoryChanged(): void {
    for (const ring of this.rings) {
      const { queue } = ring;
      if (queue !== undefined) this.#orBreak(ring, () => queue.bind(ring.place.areas()));
    }
    const started = this.state === "running" || this.state === "paused";
    if (started) this.device.memoryChanged(this.memory);
  }

  /** Tracks chains in flight in `region` from now on and owns it. All rings get new queues. */
  track(region: InflightRegion): void {
    this.reset();
    this.inflight?.[Symbol.dispose]();
    this.inflight = region;
  }

  [Symbol.dispose](): void {
    this.driver += 1;
    for (const ring of this.rings) ring[Symbol.dispose]();
    this.region?.[Symbol.dispose]();
    this.device[Symbol.dispose]();
    this.inflight?.[Symbol.dispose]();
  }
}

/** `loop` for a device: an error in one of its handlers goes to `failed` instead of ending the loop. */
function guarded(loop: Loop, queues: Queues): DeviceLoop {
  const safely =
    <A extends unknown[]>(handler: (...args: A) => void) =>
    (...args: A) => {
      queues.batch = true;
      try {
        handler(...args);
      } catch (error) {
        queues.failed(error);
      } finally {
        queues.endBatch();
      }
    };
  return {
    watch: (fd, events, handler) => loop.watch(fd, events, safely(handler)),
    every: (periodMs, handler) => loop.every(periodMs, safely(handler)),
    after: (delayMs, handler) => loop.after(delayMs, safely(handler)),
  };
}
