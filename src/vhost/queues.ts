// The rings of a connection and the device behind them: requests on their way in, answers on their way out, and what stopping
// a ring means. Whether a stop was a pause or the end of the driver shows only when the rings start again.
import type { Loop } from "../loop.ts";
import { BadChain, type Chain } from "../virtio/chain.ts";
import { VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC } from "../virtio/features.ts";
import { RingError, type Rings, SplitQueue } from "../virtio/split-queue.ts";
import type { DeviceLoop, VirtioDevice } from "../virtio/virtio-device.ts";
import type { InflightRegion } from "./inflight.ts";
import type { MemoryTable } from "./memory.ts";
import { Refused } from "./refused.ts";
import { Ring } from "./ring.ts";
import { guarded, RingRequest } from "./ring-request.ts";

/** Chains taken before other descriptors of the loop get their turn. */
const TURN = 64;

/** Makes the device of a connection. */
export type MakeDevice = (loop: DeviceLoop) => VirtioDevice;

/** What the queues report to whoever owns them. */
export interface QueueEvents {
  /** Something the guest did that is worth a line, not more often than the log bears. */
  complain(text: string): void;
  /** A device threw: the connection cannot go on. */
  failed(error: unknown): void;
}

/** An answer that came while its ring was stopped. */
interface Kept {
  readonly chain: Chain;
  readonly answer: Uint8Array<ArrayBuffer>;
}

/** Counters for statistics. */
export interface QueueCounts {
  requests: number;
  answers: number;
  interrupts: number;
  malformed: number;
}

export class Queues implements Disposable {
  readonly rings: readonly Ring[];
  readonly counts: QueueCounts = { requests: 0, answers: 0, interrupts: 0, malformed: 0 };
  features = 0n;
  inflight: InflightRegion | undefined;
  readonly #loop: Loop;
  readonly #deviceLoop: DeviceLoop;
  readonly #memory: MemoryTable;
  readonly device: VirtioDevice;
  readonly #events: QueueEvents;
  /** Requests of an earlier life are not answered any more. */
  #life = 0;
  #state: "idle" | "running" | "paused" | "failed" = "idle";
  readonly #kept: Kept[][];
  readonly #recovered: number[][];
  readonly #later: (Disposable | undefined)[] = [];
  /** The ring whose chains are being taken: it is told of answers once, at the end. */
  #batch = -1;

  constructor(loop: Loop, memory: MemoryTable, makeDevice: MakeDevice, events: QueueEvents) {
    this.#loop = loop;
    this.#deviceLoop = guarded(loop, (error) => this.#failed(error));
    const device = makeDevice(this.#deviceLoop);
    this.device = device;
    this.#memory = memory;
    this.#events = events;
    this.rings = Array.from(
      { length: device.queues },
      (_, index) => new Ring(index, loop, memory, () => this.process(index)),
    );
    this.#kept = this.rings.map(() => []);
    this.#recovered = this.rings.map(() => []);
  }

  /** The ring of that number. Throws Refused. */
  ring(index: number): Ring {
    const ring = this.rings[index];
    if (ring === undefined) throw new Refused(`vring ${index} of ${this.rings.length}`);
    return ring;
  }

  /** Starts a ring that has its size, its addresses and its kick. Throws Refused, and then it stays stopped. */
  start(ring: Ring): void {
    const areas = ring.areas();
    const commands = ring.index !== this.device.eventQueue;
    if (ring.goesOn(commands)) {
      ring.queue?.bind(areas);
    } else {
      // A ring elsewhere or from its beginning is a new driver; what the old one left is dropped.
      const known = ring.queue !== undefined || (ring.index === 0 && this.#state !== "idle");
      if (known) this.reset();
      this.#makeQueue(ring, areas);
    }
    ring.started = true;
    ring.broken = false;
    this.changed(ring);
  }

  #makeQueue(ring: Ring, areas: Rings): void {
    const { addresses, size, index } = ring;
    if (addresses === undefined) return;
    const tracked = this.inflight;
    const counted = tracked !== undefined && index < tracked.queues && size <= tracked.queueSize;
    const log = counted ? tracked.queue(index) : undefined;
    const queue = new SplitQueue(areas, this.#memory, ring.base, {
      size,
      indirect: (this.features & VIRTIO_F_INDIRECT_DESC) !== 0n,
      eventIdx: (this.features & VIRTIO_F_EVENT_IDX) !== 0n,
      log,
    });
    const left = (log?.recover(queue.usedIndex) ?? []).filter((head) => head < size);
    // Events are put into buffers in their order; a front-end may give the index behind all that are posted.
    if (left.length > 0 || index === this.device.eventQueue) queue.goOnAtUsed(left.length);
    this.#recovered[index] = left;
    ring.queue = queue;
    ring.identity = { ...addresses, size };
  }

  /** Stops a ring; the index of the chain it would have taken next. */
  stop(ring: Ring): number {
    ring.stop();
    this.#follow();
    return ring.base;
  }

  /** A ring was started, enabled or disabled: the device follows, and a ring that is served is looked at once. */
  changed(ring: Ring): void {
    const before = this.#state;
    this.#follow();
    if (ring.serving) this.#publishKept(ring);
    // Rings that were ready before the device was have waited for it.
    const waiting = before === this.#state ? [ring] : this.rings;
    for (const { index } of waiting) this.process(index);
  }

  #follow(): void {
    const [commands] = this.rings;
    const on = commands?.started === true && commands.enabled;
    if (on && this.#state === "idle") {
      this.#state = "running";
      this.device.start({
        loop: this.#deviceLoop,
        memory: this.#memory,
        ackedFeatures: this.features,
      });
    } else if (on && this.#state === "paused") {
      this.#state = "running";
      this.device.resume();
    } else if (!on && this.#state === "running") {
      this.#state = "paused";
      this.device.pause();
    }
  }

  /** The driver starts anew: the device forgets it, held chains are never answered. Rings that run begin anew. */
  reset(): void {
    this.#life += 1;
    for (const kept of this.#kept) kept.length = 0;
    for (const left of this.#recovered) left.length = 0;
    if (this.#state === "failed") return;
    if (this.#state !== "idle") this.device.reset();
    this.#state = "idle";
    for (const ring of this.rings) {
      if (ring.started && ring.queue !== undefined) ring.base = ring.queue.next;
      ring.forget();
      if (ring.started) this.#rebuild(ring);
    }
  }

  #rebuild(ring: Ring): void {
    try {
      this.#makeQueue(ring, ring.areas());
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#events.complain(`${error.message}: the ring is stopped`);
      ring.break();
    }
  }

  /** All rings stop and are disabled, and the device forgets its driver. */
  resetAll(): void {
    for (const ring of this.rings) {
      ring.stop();
      ring.enabled = false;
      ring.base = 0;
      ring.broken = false;
    }
    this.reset();
  }

  /** The memory table changed: rings go on in the new one, or are broken where it lacks them. */
  memoryChanged(): void {
    for (const ring of this.rings) {
      if (ring.queue === undefined) continue;
      try {
        ring.queue.bind(ring.areas());
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        ring.forget();
        if (!ring.started) continue;
        this.#events.complain(`${error.message}: the ring is stopped`);
        ring.break();
      }
    }
    const started = this.#state === "running" || this.#state === "paused";
    if (started) this.device.memoryChanged(this.#memory);
  }

  /** Keeps account of what is in flight in `region` from now on, which is the queues'; rings begin anew with it. */
  track(region: InflightRegion): void {
    this.reset();
    this.inflight?.[Symbol.dispose]();
    this.inflight = region;
  }

  /** Takes what the driver made available, as long as the ring is served. */
  process(index: number): void {
    const ring = this.rings[index];
    if (ring?.queue === undefined || !ring.serving || this.#state !== "running") return;
    if (this.#batch >= 0) return; // an answer in the middle of a batch: the batch goes on by itself
    this.#later[index]?.[Symbol.dispose]();
    this.#later[index] = undefined;
    this.#batch = index;
    try {
      this.#takeChains(ring, ring.queue);
    } catch (error) {
      if (error instanceof RingError) this.#breakRing(ring, error);
      else this.#failed(error);
    } finally {
      this.#batch = -1;
      for (const each of this.rings) this.#notify(each);
    }
  }

  #takeChains(ring: Ring, queue: SplitQueue): void {
    for (const head of this.#recovered[ring.index]?.splice(0) ?? []) {
      this.#request(ring, queue.take(head));
    }
    for (let taken = 0; taken < TURN; ) {
      const chain = queue.pop();
      if (chain === undefined) {
        if (!queue.wantKick()) return;
        continue; // more arrived between the last look and the wish to be kicked
      }
      taken += 1;
      this.#request(ring, chain);
      if (ring.queue !== queue || !ring.serving) return;
    }
    this.#later[ring.index] = this.#loop.after(0, () => this.process(ring.index));
  }

  #failed(error: unknown): void {
    this.#state = "failed";
    this.#events.failed(error);
  }

  #breakRing(ring: Ring, error: RingError): void {
    this.#events.complain(`vring ${ring.index}: ${error.message}: the ring is broken`);
    ring.break();
  }

  #request(ring: Ring, chain: Chain | BadChain): void {
    if (chain instanceof BadChain) {
      this.counts.malformed += 1;
      this.#events.complain(`vring ${ring.index}: malformed chain: ${chain.message}`);
      return;
    }
    this.counts.requests += 1;
    const request = new RingRequest(chain, this.#life, (life, answer) => {
      if (life === this.#life) this.#answer(ring, chain, answer);
    });
    this.device.request(ring.index, request);
    request.forgetBytes();
  }

  #answer(ring: Ring, chain: Chain, answer: Uint8Array): void {
    this.counts.answers += 1;
    if (ring.broken) return;
    const fits = answer.length > chain.room ? answer.subarray(0, chain.room) : answer;
    const bytes = fits as Uint8Array<ArrayBuffer>;
    if (!ring.serving || ring.queue === undefined) {
      this.#kept[ring.index]?.push({ chain, answer: bytes.slice() });
      return;
    }
    ring.queue.push(chain.head, ring.queue.fill(chain, bytes));
    if (this.#batch < 0) this.#notify(ring);
  }

  #publishKept(ring: Ring): void {
    const { queue } = ring;
    const kept = this.#kept[ring.index]?.splice(0) ?? [];
    if (queue === undefined || kept.length === 0) return;
    for (const { chain, answer } of kept) queue.push(chain.head, queue.fill(chain, answer));
    this.#notify(ring);
  }

  #notify(ring: Ring): void {
    if (!ring.serving || ring.queue?.wantsNotice() !== true) return;
    this.counts.interrupts += 1;
    ring.interrupt();
  }

  [Symbol.dispose](): void {
    this.#life += 1;
    for (const later of this.#later) later?.[Symbol.dispose]();
    for (const ring of this.rings) ring[Symbol.dispose]();
    this.device[Symbol.dispose]();
    this.inflight?.[Symbol.dispose]();
  }
}
