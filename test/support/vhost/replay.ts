// Replays to the back-end what a monitor and the real Linux driver sent. Records: vu = a vhost-user message,
// chain and cmd = a command of the driver, resp = its answer, kick and call = notifications, event = an event.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Signal } from "../../../ffi/epoll.ts";
import type { Loop } from "../../../src/loop.ts";
import * as p from "../../../src/vhost/payloads.ts";
import { DriverQueue, type Part } from "./driver.ts";
import type { FrontEnd } from "./front-end.ts";
import { GuestRam } from "./guest-ram.ts";
import { turns } from "./scene.ts";

export interface TraceRecord {
  readonly k: "vu" | "kick" | "chain" | "cmd" | "resp" | "call" | "event" | "note";
  readonly run?: string;
  readonly dir?: "in" | "out";
  readonly name?: string;
  readonly req?: number;
  readonly flags?: number;
  readonly fds?: number;
  readonly hex?: string;
  readonly index?: number;
  readonly num?: number;
  readonly desc?: number;
  readonly used?: number;
  readonly avail?: number;
  readonly log?: number;
  readonly q?: number;
  readonly head?: number;
  readonly indirect?: boolean;
  readonly r?: readonly number[];
  readonly w?: readonly number[];
  readonly code?: string;
  readonly len?: number;
  readonly queue?: number;
  readonly resource?: number;
  readonly sizes?: readonly number[];
  readonly what?: string;
}

/** The records of a file of test/video/traces. */
export function readTrace(name: string): TraceRecord[] {
  const path = join(import.meta.dir, "../../video/traces", `${name}.jsonl`);
  const lines = readFileSync(path, "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line));
}

const unhex = (hex = "") => {
  const bytes = new Uint8Array(new ArrayBuffer(hex.length / 2));
  for (let i = 0; i < bytes.length; i++)
    bytes[i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return bytes;
};

/** The compared parts of an answer: head, response code, length. */
export interface RecordedAnswer {
  readonly head: number;
  readonly code: string;
  readonly length: number;
}

export const recordedAnswers = (records: readonly TraceRecord[]): RecordedAnswer[] =>
  records
    .filter(({ k }) => k === "resp")
    .map(({ head = 0, code = "", len = 0 }) => ({ head, code, length: len }));

const INPUT = 0x100;
/** Memory for the requests of the replay, apart from that of the recorded driver. */
const SCRATCH = 0x100_0000;

export class Replay implements Disposable {
  readonly answers: RecordedAnswer[] = [];
  /** vhost-user answers of another length than recorded, and refusals that were not recorded. */
  readonly differences: string[] = [];
  events = 0;
  readonly ram: GuestRam;
  readonly #owned = new DisposableStack();
  readonly #loop: Loop;
  readonly #frontEnd: FrontEnd;
  readonly #spare: Signal;
  readonly #queues: (DriverQueue | undefined)[] = [undefined, undefined];
  readonly #rooms = new Map<number, { at: number; length: number }>();
  readonly #eventHeads = new Map<number, number>();
  /** Guest memory of INPUT resources: address, length, address, length, ... */
  readonly #resources = new Map<number, number[]>();
  readonly #clip: Uint8Array;
  #clipAt = 0;
  #commands = 0;

  constructor(loop: Loop, frontEnd: FrontEnd, ram: GuestRam, clip: Uint8Array) {
    this.#loop = loop;
    this.#frontEnd = frontEnd;
    this.ram = ram;
    ram.mark += SCRATCH;
    this.#clip = clip;
    this.#spare = this.#owned.use(new Signal());
  }

  /** Replays all records. `starts` are the first indices of rings, for records that begin in the middle. */
  async play(records: readonly TraceRecord[]): Promise<void> {
    let chain: TraceRecord | undefined;
    for (const [i, record] of records.entries()) {
      if (record.k === "vu" && record.dir === "in") await this.#message(record, records, i);
      if (record.k === "chain" && record.q === 0) chain = record;
      if (record.k === "cmd")
        await this.#command(record, chain?.head === record.head ? chain : undefined);
      if (record.k === "event") await this.#repost();
    }
    await turns(this.#loop);
    this.#collect();
  }

  async #message(record: TraceRecord, records: readonly TraceRecord[], at: number): Promise<void> {
    const { name = "", index = 0, num = 0 } = record;
    if (name === "SET_VRING_NUM") this.#prepareRing(index, num, records, at);
    const queue = this.#queues[index];
    const fds = this.#descriptors(record, queue);
    this.#frontEnd.send(name, unhex(record.hex), {
      fds,
      needReply: ((record.flags ?? 0) & p.FLAG_NEED_REPLY) !== 0,
    });
    const later = records.slice(at + 1, at + 12);
    const answer = later.find((other) => other.k === "vu");
    const due = later.find((other) => other.dir === "out" && other.req === record.req);
    if (due === undefined || answer?.dir !== "out") {
      await turns(this.#loop);
      return;
    }
    const got = await this.#frontEnd.receive();
    if (got === undefined) throw new Error(`${name}: the connection was closed`);
    for (const fd of got.fds) fd[Symbol.dispose]();
    this.#compare(name, unhex(due.hex), got.bytes);
    this.#collect();
  }

  #compare(name: string, want: Uint8Array, got: Uint8Array): void {
    if (want.length !== got.length) this.differences.push(`${name}: ${got.length} bytes`);
    // Offered features and names of back-ends may differ. We refuse the back-end channel, the recorded one accepted it.
    // Without recorded chains, indices cannot be the same.
    const free =
      /^GET_(PROTOCOL_FEATURES|CONFIG|FEATURES)$|^SET_BACKEND_REQ_FD$/.test(name) ||
      (name === "GET_VRING_BASE" && this.#commands === 0);
    if (!free && !Bun.deepEquals([...want], [...got])) {
      this.differences.push(`${name}: ${[...got]} for ${[...want]}`);
    }
  }

  #descriptors({ name, fds = 0 }: TraceRecord, queue: DriverQueue | undefined): number[] {
    const one = {
      SET_VRING_KICK: queue?.kick.fd,
      SET_VRING_CALL: queue?.call.fd,
      SET_VRING_ERR: queue?.error.fd,
      SET_MEM_TABLE: this.ram.fd.number,
      ADD_MEM_REG: this.ram.fd.number,
    }[name ?? ""];
    return new Array<number>(fds).fill(one ?? this.#spare.fd);
  }

  /** A new driver has new rings and posts its event buffers first. */
  #prepareRing(index: number, num: number, records: readonly TraceRecord[], at: number): void {
    const later = records.slice(at + 1);
    const base = later.find((r) => r.name === "SET_VRING_BASE" && r.index === index);
    const addresses = later.find((r) => r.name === "SET_VRING_ADDR" && r.index === index);
    const started = later.find((r) => r.what === "ring started" && r.q === index);
    if (base?.num !== 0 && this.#queues[index] !== undefined) return;
    const guest = (user = 0) => this.ram.guestOf(BigInt(user));
    const queue = new DriverQueue(this.#loop, this.ram, num, {
      descriptors: guest(addresses?.desc),
      available: guest(addresses?.avail),
      used: guest(addresses?.used),
    });
    if (base?.num !== undefined && base.num > 0) queue.startAt(started?.used ?? base.num);
    this.#owned.use(queue);
    this.#queues[index] = queue;
    if (index === 1) this.#postEvents(queue, started?.avail ?? 0);
    queue.notify(); // sends the kick as soon as its descriptor is set
  }

  /** Makes a ring for a recording that begins in the middle: at the recorded index, with event buffers posted. */
  queueAt(loop: Loop, records: readonly TraceRecord[], index: number, start: number): DriverQueue {
    const addresses = records.find((r) => r.name === "SET_VRING_ADDR" && r.index === index);
    const size = records.find((r) => r.name === "SET_VRING_NUM" && r.index === index)?.num ?? 64;
    const guest = (user = 0) => this.ram.guestOf(BigInt(user));
    const queue = new DriverQueue(loop, this.ram, size, {
      descriptors: guest(addresses?.desc),
      available: guest(addresses?.avail),
      used: guest(addresses?.used),
    });
    queue.startAt(start);
    this.#queues[index] = this.#owned.use(queue);
    if (index === 1) this.#postEvents(queue, size);
    return queue;
  }

  #postEvents(queue: DriverQueue, count: number): void {
    for (let i = 0; i < count; i++) {
      const head = queue.add([{ at: this.ram.allocate(8), length: 8, writable: true }]);
      this.#eventHeads.set(head, this.ram.mark - 8);
    }
  }

  /** Posts the buffer of an event again. */
  async #repost(): Promise<void> {
    await turns(this.#loop);
    const queue = this.#queues[1];
    for (const { length } of queue?.takeUsed() ?? []) {
      if (length === 8) this.events += 1;
      if (queue !== undefined) this.#postEvents(queue, 1);
    }
    queue?.notify();
  }

  async #command(record: TraceRecord, chain: TraceRecord | undefined): Promise<void> {
    const queue = this.#queues[0];
    if (queue === undefined) throw new Error("a command without a ring");
    this.#commands += 1;
    const bytes = unhex(record.hex);
    this.#remember(record, bytes);
    const head = record.head ?? 0;
    const room = chain?.w?.[0] ?? 4096;
    const at = this.ram.allocate(room);
    const readable: Part[] = [];
    let done = 0;
    for (const length of chain?.r ?? [bytes.length]) {
      readable.push({
        at: this.ram.place(bytes.subarray(done, done + length)),
        length,
        writable: false,
      });
      done += length;
    }
    this.#rooms.set(head, { at, length: room });
    queue.addAt(head, [...readable, { at, length: room, writable: true }]);
    queue.notify();
    await turns(this.#loop, 1);
    this.#collect();
  }

  /** Notes the entries of INPUT resources, and writes the next bytes of the clip to a resource that is queued. */
  #remember(
    { name, queue, resource = 0, sizes }: TraceRecord,
    bytes: Uint8Array<ArrayBuffer>,
  ): void {
    if (queue !== INPUT) return;
    const view = new DataView(bytes.buffer);
    if (name === "RESOURCE_CREATE") {
      const entries: number[] = [];
      for (let at = 88; at + 16 <= bytes.length; at += 16) {
        entries.push(Number(view.getBigUint64(at, true)), view.getUint32(at + 8, true));
      }
      this.#resources.set(resource, entries);
    }
    if (name !== "RESOURCE_QUEUE") return;
    const entries = this.#resources.get(resource) ?? [];
    let left = sizes?.[0] ?? 0;
    for (let i = 0; i < entries.length && left > 0; i += 2) {
      const count = Math.min(left, entries[i + 1] ?? 0);
      const piece = this.#clip.subarray(this.#clipAt, this.#clipAt + count);
      this.ram.bytes(entries[i] ?? 0, piece.length).set(piece);
      this.#clipAt += count;
      left -= count;
    }
  }

  #collect(): void {
    for (const { head, length } of this.#queues[0]?.takeUsed() ?? []) {
      const { at = 0 } = this.#rooms.get(head) ?? {};
      const code = length >= 4 ? this.ram.view(at, 4).getUint32(0, true) : 0;
      this.answers.push({ head, code: `0x${code.toString(16)}`, length });
    }
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}

/** Guest memory with the layout of the recorded monitor, in a sparse file. */
export function ramOf(records: readonly TraceRecord[]): GuestRam {
  const rows = records.flatMap(({ k, dir, name, hex }) => {
    if (k !== "vu" || dir !== "in") return [];
    const bytes = unhex(hex);
    if (name === "ADD_MEM_REG") return [p.singleRegion.over(bytes)];
    if (name !== "SET_MEM_TABLE") return [];
    const { count } = p.regions.over(bytes);
    return Array.from({ length: count }, (_, i) => p.region.over(bytes, 8 + 32 * i));
  });
  if (rows.length > 0) {
    return GuestRam.sparse(
      rows.map(({ guest, size, user, offset }) => ({ guest, size, user, offset })),
    );
  }
  // A recording that begins in the middle: the log address is a guest address in the region.
  const ring = records.find(({ name }) => name === "SET_VRING_ADDR");
  const user = BigInt(ring?.used ?? 0) - BigInt(ring?.log ?? 0);
  return GuestRam.sparse([{ guest: 0n, size: 1n << 30n, user, offset: 0n }]);
}
