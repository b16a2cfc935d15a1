// Fuzzing of both rings and their descriptors: a guest writes any bytes anywhere in its memory. The device is the video device,
// or one that holds requests. There is no socket: the rings are started by calls.
import { Fd } from "../../ffi/fd.ts";
import { Loop } from "../../src/loop.ts";
import { noCounts } from "../../src/vhost/counts.ts";
import { MemoryTable } from "../../src/vhost/memory.ts";
import { Queues } from "../../src/vhost/queues.ts";
import { RequestRefused } from "../../src/vhost/request-refused.ts";
import type { Ring } from "../../src/vhost/ring.ts";
import type { CodecBackend } from "../../src/video/codec/codec.ts";
import { openNull } from "../../src/video/codec/null.ts";
import { createVideoDevice } from "../../src/video/video-device.ts";
import {
  areas,
  ringFeatures,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
} from "../../src/virtio/ring-layout.ts";
import type { SplitQueue } from "../../src/virtio/split-queue.ts";
import type { Random } from "../support/random.ts";
import { EchoDevice } from "../support/vhost/echo-device.ts";
import { GuestRam } from "../support/vhost/guest-ram.ts";
import { BASE } from "../support/video-driver.ts";
import { defineTarget } from "./target.ts";
import { body } from "./video.ts";

const REGION = 0x1_0000;
/** Two regions that are adjacent for the guest but not in the host, and a separate one. */
const places = [
  { guest: 0, size: REGION },
  { guest: REGION, size: REGION },
  { guest: Number(BASE), size: REGION },
] as const;
const sizes = [1, 2, 4, 8, 16, 64] as const;
/** Guest address of each ring, and of its buffers: across the border of the two regions. */
const RING_AT = [0, 0x2000] as const;
const USED_AT = 0x1800;
const AVAILABLE_AT = 0x1000;
const SLOTS = 0xf3f0;
const SLOT = 0x400;
/** Just before borders: of two regions, of guest memory. */
const EDGES = [0xffe0, 0x1_ffe0, Number(BASE) + REGION - 32] as const;

interface Entry {
  readonly at: number;
  readonly length: number;
  readonly flags: number;
  readonly next: number;
}

type Step =
  | { op: "setup"; size: number; base: number; features: number; device: "video" | "echo" }
  | { op: "entry"; ring: number; index: number; entry: Entry }
  | { op: "table"; slot: number; entries: Entry[] }
  | { op: "offer"; ring: number; head: number }
  | { op: "jump"; ring: number; by: number }
  | { op: "request"; slot: number; indirect: boolean; cut: number; bytes: number[]; room: number }
  | { op: "event"; slot: number; room: number }
  | { op: "poke"; at: number; bytes: number[] }
  | { op: "kick"; ring: number }
  | { op: "stop"; ring: number }
  | { op: "start"; ring: number; base: number }
  | { op: "memory"; regions: number }
  | { op: "reset" | "release" };

function entry(random: Random): Entry {
  const flags = random.chance(8) ? random.bits() & 0xffff : random.below(8);
  return {
    at: random.chance(4)
      ? random.hostile()
      : random.pick([SLOTS + SLOT * random.below(16), random.pick(EDGES)]) + random.below(32),
    length: random.chance(3) ? random.hostile() : random.below(200),
    flags,
    next: random.chance(6) ? random.hostile() & 0xffff : random.below(8),
  };
}

function step(random: Random): Step {
  const ring = random.chance(4) ? 1 : 0;
  const slot = random.below(16);
  const kind = random.below(40);
  if (kind < 7) return { op: "entry", ring, index: random.below(8), entry: entry(random) };
  if (kind < 9) {
    const entries = Array.from({ length: 1 + random.below(4) }, () => entry(random));
    return { op: "table", slot, entries };
  }
  if (kind < 14) {
    return { op: "offer", ring, head: random.chance(8) ? random.hostile() : random.below(8) };
  }
  if (kind < 15) return { op: "jump", ring, by: random.pick([1, 2, -1, 64, 65, 0x7fff]) };
  if (kind < 22) {
    const { bytes, room } = body(random);
    return {
      op: "request",
      slot,
      indirect: random.chance(2),
      cut: random.below(2) * random.below(bytes.length + 1),
      bytes: random.chance(2) ? bytes : [random.below(2), ...bytes.slice(0, 40)],
      room,
    };
  }
  if (kind < 25) return { op: "event", slot, room: random.chance(4) ? random.below(12) : 8 };
  if (kind < 28) {
    const at = random.chance(2) ? (RING_AT[ring] ?? 0) + 0x1000 + random.below(0x900) : SLOTS;
    const bytes = Array.from({ length: 1 + random.below(8) }, () => random.bits() & 0xff);
    return { op: "poke", at, bytes };
  }
  if (kind < 34) return { op: "kick", ring };
  if (kind < 35) return { op: "stop", ring };
  if (kind < 37) {
    return { op: "start", ring, base: random.pick([0, 0, -1, -1, 1, random.bits() & 0xffff]) };
  }
  if (kind < 38) return { op: "memory", regions: 1 + random.below(3) };
  return { op: random.chance(4) ? "reset" : "release" };
}

export const rings = defineTarget<Step>({
  name: "rings",
  title: "rings and descriptors of any content",
  script: (random) => [
    {
      op: "setup",
      size: random.pick(sizes),
      base: random.chance(4) ? random.bits() & 0xffff : 0,
      features: random.below(4),
      device: random.pick(["video", "echo"]),
    },
    ...Array.from({ length: 5 + random.below(18) }, () => step(random)),
  ],
  open() {
    const owned = new DisposableStack();
    const loop = owned.use(new Loop());
    const ram = owned.use(new GuestRam(places));
    const codec = owned.use(openNull());
    const memory = owned.use(new MemoryTable());
    share(memory, ram, places.length);
    return {
      attempt(script) {
        for (const { guest, size } of places) ram.bytes(guest, size).fill(0);
        const [first] = script;
        const setup = first?.op === "setup" ? first : undefined;
        if (memory.size !== places.length) share(memory, ram, places.length);
        using guest = new Guest(loop, ram, memory, codec, setup);
        for (const one of script) guest.play(one);
        guest.finish();
        if (!ram.marginsIntact) throw new Error("it wrote outside guest memory");
      },
      [Symbol.dispose]: () => owned[Symbol.dispose](),
    };
  },
});

function share(memory: MemoryTable, ram: GuestRam, count: number, changed = () => {}): void {
  const rows = ram.rows.slice(0, count);
  const fds = rows.map(() => Fd.duplicate(ram.fd.number, "guest-ram"));
  memory.replace(rows, fds, changed);
}

/** One guest with the rings and its device. */
class Guest implements Disposable {
  readonly #ram: GuestRam;
  readonly #memory: MemoryTable;
  readonly #queues: Queues;
  readonly #echo: EchoDevice | undefined;
  readonly #size: number;
  readonly #base: number;
  readonly #available = [0, 0];
  /** Indices of each queue when it was made. */
  readonly #began = new WeakMap<SplitQueue, { readonly next: number; readonly used: number }>();
  #nextEntry = 0;

  constructor(
    loop: Loop,
    ram: GuestRam,
    memory: MemoryTable,
    codec: CodecBackend,
    setup: Extract<Step, { op: "setup" }> | undefined,
  ) {
    this.#ram = ram;
    this.#memory = memory;
    this.#echo = setup?.device === "echo" ? new EchoDevice({ throws: false }) : undefined;
    const device = this.#echo ?? createVideoDevice({ backend: codec, maxStreams: 4 });
    this.#queues = new Queues(loop, memory, () => device, {
      counts: noCounts(),
      complain: () => undefined,
      failed(error) {
        throw new Error(`the device threw: ${String(error)}`, { cause: error });
      },
    });
    this.#size = setup?.size ?? 8;
    this.#base = setup?.base ?? 0;
    const indirect = ((setup?.features ?? 3) & 1) !== 0 ? VIRTIO_F_INDIRECT_DESC : 0n;
    const eventIdx = ((setup?.features ?? 3) & 2) !== 0 ? VIRTIO_F_EVENT_IDX : 0n;
    const without = VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX;
    this.#queues.features = (ringFeatures & ~without) | indirect | eventIdx | 3n;
    for (const ring of this.#queues.rings) {
      const at = RING_AT[ring.index] ?? 0;
      ring.place.setSize(this.#size);
      ring.place.addresses = {
        descriptors: ram.user(at),
        available: ram.user(at + AVAILABLE_AT),
        used: ram.user(at + USED_AT),
      };
      ring.enabled = true;
      this.#begin(ring, this.#base);
    }
  }

  #begin(ring: Ring, base: number): void {
    ring.base = base;
    this.#available[ring.index] = base;
    this.#word(ring.index, AVAILABLE_AT + 2, base);
    this.#word(ring.index, USED_AT + 2, base);
    this.#start(ring);
  }

  #start(ring: Ring): void {
    const used = this.#ram.view((RING_AT[ring.index] ?? 0) + USED_AT + 2, 2).getUint16(0, true);
    const before = ring.queue;
    try {
      this.#queues.start(ring);
    } catch (error) {
      if (!(error instanceof RequestRefused)) throw error; // its memory is gone
    }
    const { queue } = ring;
    if (queue === undefined || queue === before) return;
    const next = ring.index === this.#queues.device.eventQueue ? used : ring.base;
    this.#began.set(queue, { next, used });
  }

  #word(ring: number, at: number, value: number): void {
    this.#ram.view((RING_AT[ring] ?? 0) + at, 2).setUint16(0, value & 0xffff, true);
  }

  #offer(ring: number, head: number): void {
    const index = this.#available[ring] ?? 0;
    this.#word(ring, AVAILABLE_AT + 4 + 2 * (index % this.#size), head);
    this.#publish(ring, index + 1);
  }

  #publish(ring: number, index: number): void {
    this.#available[ring] = index & 0xffff;
    this.#word(ring, AVAILABLE_AT + 2, index);
  }

  #describe(at: number, { at: address, length, flags, next }: Entry): void {
    const view = this.#ram.view(at, 16);
    view.setBigUint64(0, BigInt(address), true);
    view.setUint32(8, length, true);
    view.setUint16(12, flags, true);
    view.setUint16(14, next, true);
  }

  /** Offers a chain of these entries. In a small ring they may overwrite each other. */
  #chain(ring: number, entries: readonly Entry[]): void {
    const table = RING_AT[ring] ?? 0;
    const head = this.#nextEntry % this.#size;
    for (const [i, one] of entries.entries()) {
      const index = (head + i) % this.#size;
      const more = i + 1 < entries.length;
      const next = (index + 1) % this.#size;
      this.#describe(table + 16 * index, { ...one, flags: one.flags | (more ? 1 : 0), next });
    }
    this.#nextEntry += entries.length;
    this.#offer(ring, head);
  }

  play(one: Step): void {
    const { rings } = this.#queues;
    switch (one.op) {
      case "setup":
        return;
      case "entry":
        this.#describe((RING_AT[one.ring] ?? 0) + 16 * (one.index % this.#size), one.entry);
        return;
      case "table":
        for (const [i, each] of one.entries.entries()) {
          this.#describe(SLOTS + SLOT * one.slot + 16 * i, each);
        }
        return;
      case "offer":
        this.#offer(one.ring, one.head);
        return;
      case "jump":
        this.#publish(one.ring, (this.#available[one.ring] ?? 0) + one.by);
        return;
      case "request":
        this.#request(one);
        return;
      case "event": {
        const at = SLOTS + SLOT * one.slot;
        this.#chain(1, [{ at, length: one.room, flags: 2, next: 0 }]);
        return;
      }
      case "poke":
        // Near the border of two regions: a byte at a time.
        for (const [i, byte] of one.bytes.entries()) this.#ram.bytes(one.at + i, 1).fill(byte);
        return;
      case "kick":
        rings[one.ring]?.process();
        this.#check();
        return;
      case "stop": {
        const ring = rings[one.ring];
        if (ring !== undefined) this.#queues.stop(ring);
        return;
      }
      case "start":
        this.#restart(one.ring, one.base);
        return;
      case "memory":
        share(this.#memory, this.#ram, one.regions, () => this.#queues.memoryChanged());
        return;
      case "release":
        this.#echo?.release();
        this.#check();
        return;
      case "reset":
        this.#queues.resetAll();
        for (const ring of rings) ring.enabled = true;
    }
  }

  #request({ slot, indirect, cut, bytes, room }: Extract<Step, { op: "request" }>): void {
    const at = SLOTS + SLOT * slot;
    for (const [i, byte] of bytes.entries()) this.#ram.bytes(at + i, 1).fill(byte);
    const parts = [
      { at, length: cut, flags: 0, next: 1 },
      { at: at + cut, length: bytes.length - cut, flags: 0, next: 2 },
      { at: slot % 2 === 0 ? at + 0x200 : EDGES[0] + slot, length: room, flags: 2, next: 0 },
    ];
    if (!indirect) {
      this.#chain(0, parts);
      return;
    }
    const table = Number(BASE) + SLOT * slot;
    for (const [i, part] of parts.entries()) {
      this.#describe(table + 16 * i, { ...part, flags: part.flags | (i < 2 ? 1 : 0) });
    }
    this.#chain(0, [{ at: table, length: 48, flags: 4, next: 0 }]);
  }

  /** Starts a ring. A negative base: at the index where it stopped, as after a pause. */
  #restart(index: number, base: number): void {
    const ring = this.#queues.rings[index];
    if (ring === undefined || ring.started) return;
    if (base < 0) this.#start(ring);
    else this.#begin(ring, base);
  }

  /** Checks that no ring has returned more chains than it took. */
  #check(): void {
    for (const { queue, index } of this.#queues.rings) {
      const began = queue && this.#began.get(queue);
      if (queue === undefined || began === undefined) continue;
      const taken = (queue.next - began.next) & 0xffff;
      const returned = (queue.usedIndex - began.used) & 0xffff;
      if (returned > taken) throw new Error(`vring ${index}: ${returned} of ${taken} returned`);
    }
  }

  /** Checks that a new driver with valid rings is served. */
  finish(): void {
    const queues = this.#queues;
    if (this.#memory.size !== places.length) {
      share(this.#memory, this.#ram, places.length, () => queues.memoryChanged());
    }
    queues.resetAll();
    const [ring] = queues.rings;
    if (ring === undefined) return;
    for (const [name, { bytes }] of Object.entries(areas)) {
      const at = { descriptors: 0, available: AVAILABLE_AT, used: USED_AT }[name] ?? 0;
      this.#ram.bytes(at, bytes(64)).fill(0);
    }
    ring.place.setSize(4);
    ring.enabled = true;
    this.#begin(ring, 0);
    const capability = [0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    this.#ram.bytes(0x4000, 16).set(capability);
    this.#describe(0, { at: 0x4000, length: 16, flags: 1, next: 1 });
    this.#describe(16, { at: 0x5000, length: 4096, flags: 2, next: 0 });
    this.#offer(0, 0);
    queues.rings[0]?.process();
    const used = this.#ram.view(USED_AT, 12);
    if (used.getUint16(2, true) !== 1) throw new Error("a sound request was not answered");
    const length = used.getUint32(8, true);
    const said = this.#ram.view(0x5000, 4).getUint32(0, true);
    const right = this.#echo === undefined ? said === 0x201 && length > 16 : length === 16;
    if (!right) throw new Error(`a sound request was answered 0x${said.toString(16)}, ${length}`);
  }

  [Symbol.dispose](): void {
    this.#queues[Symbol.dispose]();
  }
}
