// A dry run of the rings, before a front-end is there: the runtime compiles a function when it has run often enough, and the first
// commands of a guest would wait for that. A driver in this process sends commands to a device of its own through real rings,
// kicks and interrupts. Nothing of it remains, and nothing is counted.
import { EPOLLET, EPOLLIN, Signal } from "../../ffi/epoll.ts";
import { Fd } from "../../ffi/fd.ts";
import { Mapping } from "../../ffi/mapping.ts";
import { log } from "../cli/log.ts";
import type { Loop } from "../loop.ts";
import {
  areas,
  DESC_FLAGS,
  DESC_LEN,
  DESC_NEXT,
  DESC_SIZE,
  ringFeatures,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from "../virtio/ring-layout.ts";
import { SharedCounts } from "./counts.ts";
import { MemoryTable } from "./memory.ts";
import { type MakeDevice, Queues } from "./queues.ts";

/** Commands for a device. */
export interface DryRun {
  readonly makeDevice: MakeDevice;
  /** Sent once, in their order. */
  readonly opening: readonly Uint8Array[];
  /** Sent again and again. The commands of a batch have one kick, and all of them are answered before the next batch. */
  readonly batches: readonly (readonly Uint8Array[])[];
  /** How many batches. */
  readonly count: number;
  /** Instead of LIMIT_MS. */
  readonly limitMs?: number;
}

/** It ends after this time, also when it has not sent all of its commands: a slow machine does not wait for it. */
const LIMIT_MS = 400;
const RING = 64;
/** The guest's memory, by page: rings, then for each command of a batch a page with its table, its request and its answer. */
const PAGE = 4096;
const RING_PAGES = 4;
const REQUEST = 64;
const ANSWER = 1024;
const MOST_COMMANDS = 4;
const FREE = (RING_PAGES + MOST_COMMANDS) * PAGE;
/** Memory that commands may name: from `dryRunMemory.address` on. */
export const dryRunMemory = { address: FREE, bytes: 4 * PAGE } as const;
const BYTES = FREE + dryRunMemory.bytes;
const EDGES = (EPOLLIN | EPOLLET) >>> 0;

/** Runs the commands of `dry`, one batch after the other, until they are done or `signal` aborts. */
export async function warmUp(loop: Loop, dry: DryRun, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  using owned = new DisposableStack();
  const { level } = log;
  log.level = 0; // the commands are not a guest's
  owned.defer(() => {
    log.level = level;
  });
  const { promise, resolve, reject } = loop.promise<void>();
  const stop = () => resolve();
  signal.addEventListener("abort", stop, { once: true });
  owned.defer(() => signal.removeEventListener("abort", stop));
  owned.use(loop.after(dry.limitMs ?? LIMIT_MS, stop));
  const driver = owned.use(new DryDriver(loop, dry.makeDevice, reject));
  const { opening, batches, count } = dry;
  let sent = 0;
  driver.onAnswers = () => {
    const first = opening[sent];
    const run = sent - opening.length;
    const batch = first === undefined ? batches[run % batches.length] : [first];
    sent += 1;
    if (signal.aborted || run >= count || batch === undefined) resolve();
    else driver.send(batch);
  };
  driver.onAnswers();
  await promise;
}

/** A driver with one batch of commands in flight. */
class DryDriver implements Disposable {
  onAnswers: () => void = () => undefined;
  readonly #kick: Signal;
  readonly #memory: DataView<ArrayBuffer>;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #available: Uint16Array<ArrayBuffer>;
  readonly #used: Uint16Array<ArrayBuffer>;
  readonly #owned: DisposableStack;
  #sent = 0;

  constructor(loop: Loop, makeDevice: MakeDevice, failed: (error: unknown) => void) {
    using owned = new DisposableStack();
    const file = owned.use(Fd.memory("dry run", BYTES));
    const { bytes } = owned.use(new Mapping(file.number, BYTES, file.name));
    this.#bytes = bytes;
    this.#memory = new DataView(bytes.buffer);
    this.#available = new Uint16Array(bytes.buffer, PAGE, areas.available.bytes(RING) / 2);
    this.#used = new Uint16Array(bytes.buffer, 2 * PAGE, areas.used.bytes(RING) / 2);
    const memory = owned.use(new MemoryTable());
    const region = { guest: 0n, size: BigInt(BYTES), user: 0n, offset: 0n };
    memory.replace([region], [Fd.duplicate(file.number, file.name)], () => undefined);
    const { counts } = owned.use(SharedCounts.create());
    const events = { counts, complain: () => undefined, failed };
    const queues = owned.use(new Queues(loop, memory, makeDevice, events));
    queues.features = ringFeatures | queues.device.features;
    this.#kick = owned.use(new Signal());
    const call = owned.use(new Signal());
    const [ring] = queues.rings;
    if (ring === undefined) throw new Error("a device without a queue");
    ring.place.setSize(RING);
    const at = (page: number) => BigInt(page * PAGE);
    ring.place.addresses = { descriptors: at(0), available: at(1), used: at(2) };
    ring.enabled = true;
    ring.setCall(Fd.duplicate(call.fd, "call"));
    ring.setKick(Fd.duplicate(this.#kick.fd, "kick"));
    queues.start(ring);
    const answered = () => {
      if (Atomics.load(this.#used, 1) === (this.#sent & 0xffff)) this.onAnswers();
    };
    owned.use(loop.watch(call.fd, EDGES, answered));
    this.#owned = owned.move();
  }

  /** Sends commands as Linux does: an indirect chain of two parts each, with an interrupt after the last answer. */
  send(batch: readonly Uint8Array[]): void {
    for (const [slot, request] of batch.entries()) {
      const page = (RING_PAGES + slot) * PAGE;
      this.#bytes.set(request, page + REQUEST);
      this.#describe(page, page + REQUEST, request.length, VIRTQ_DESC_F_NEXT, 1);
      this.#describe(page + DESC_SIZE, page + ANSWER, PAGE - ANSWER, VIRTQ_DESC_F_WRITE, 0);
      this.#describe(slot * DESC_SIZE, page, 2 * DESC_SIZE, VIRTQ_DESC_F_INDIRECT, 0);
      this.#available[2 + ((this.#sent + slot) % RING)] = slot;
    }
    this.#sent += batch.length;
    Atomics.store(this.#available, 2 + RING, (this.#sent - 1) & 0xffff); // used_event
    Atomics.store(this.#available, 1, this.#sent & 0xffff);
    this.#kick.raise();
  }

  #describe(at: number, address: number, length: number, flags: number, next: number): void {
    this.#memory.setBigUint64(at, BigInt(address), true);
    this.#memory.setUint32(at + DESC_LEN, length, true);
    this.#memory.setUint16(at + DESC_FLAGS, flags, true);
    this.#memory.setUint16(at + DESC_NEXT, next, true);
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}
