// A virtio-video driver for tests: builds commands as the Linux driver does and keeps every answer in the order of arrival.

import type { Fields, Struct, StructType } from "../../ffi/struct.ts";
import { Loop } from "../../src/loop.ts";
import type { CodecBackend } from "../../src/video/codec/codec.ts";
import { Stretches } from "../../src/video/stretches.ts";
import * as s from "../../src/video/structs.ts";
import { createVideoDevice } from "../../src/video/video-device.ts";
import { memEntry } from "../../src/virtio/guest-ranges.ts";
import type { Request, VirtioDevice } from "../../src/virtio/virtio-device.ts";
import { TestMemory } from "./guest-memory.ts";

let lastOrder = 0;

/** A request of this driver and its answer. */
export class Sent implements Request {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly room: number;
  /** The answer's bytes, cut to the writable length; undefined while it is held. */
  reply: Uint8Array<ArrayBuffer> | undefined;
  /** How often it was answered. */
  answers = 0;
  /** The number of the answer in the order of all answers. */
  order = 0;
  readonly #told: (sent: Sent) => void;
  constructor(bytes: Uint8Array<ArrayBuffer>, room: number, told: (sent: Sent) => void) {
    this.bytes = bytes;
    this.room = room;
    this.#told = told;
  }
  answer(bytes: Uint8Array): void {
    this.answers++;
    if (this.answers > 1) return;
    this.order = ++lastOrder;
    const cut = new Uint8Array(new ArrayBuffer(Math.min(bytes.length, this.room)));
    cut.set(bytes.subarray(0, cut.length));
    this.reply = cut;
    this.#told(this);
  }
  get held(): boolean {
    return this.answers === 0;
  }
  /** Response type; 0 while held or cut off. */
  get code(): number {
    const r = this.reply;
    return r === undefined || r.length < 8 ? 0 : new DataView(r.buffer).getUint32(0, true);
  }
  get streamId(): number {
    return new DataView((this.reply ?? new Uint8Array(8)).buffer as ArrayBuffer).getUint32(4, true);
  }
  /** The answer read as a struct. */
  as<F extends Fields>(type: StructType<F>): Struct<F> {
    if (this.reply === undefined) throw new Error("not answered");
    return type.over(this.reply);
  }
  get flags(): number {
    return this.as(s.queuedResponse).flags;
  }
  get timestamp(): bigint {
    return this.as(s.queuedResponse).timestamp;
  }
  get size(): number {
    return this.as(s.queuedResponse).size;
  }
}

const ALL_FEATURES = s.F_RESOURCE_GUEST_PAGES | s.F_RESOURCE_NON_CONTIG;
/** The most an answer can be, and what drivers offer. */
const ROOM = 4096;
export const BASE = 0x1000_0000n;

/** Guest memory as the driver has it. */
export interface DriverMemory extends Disposable {
  /** Allocates memory that starts at a page boundary. */
  allocate(bytes: number): bigint;
  /** The bytes at an address; the range must be in one region. */
  bytes(address: bigint, length: number): Uint8Array<ArrayBuffer>;
}

/** The device, here or at the other end of a connection. */
export interface DriverDevice extends Disposable {
  request(queue: number, request: Request): void;
}

export type Params = Struct<typeof s.extParams.fields>;

/** The parameters in the answer to GET_PARAMS, of either dialect. */
export function paramsOf(sent: Sent): Params {
  const full = s.extParams.alloc();
  full.$bytes.set(sent.reply ?? []);
  return full;
}

export class Driver<D extends DriverDevice = DriverDevice, M extends DriverMemory = DriverMemory>
  implements Disposable
{
  readonly device: D;
  readonly memory: M;
  readonly loop: Loop;
  /** Everything answered, in order. */
  readonly answered: Sent[] = [];
  readonly events: Sent[] = [];
  /** Turns the list of answers off, for long runs. */
  keepAnswers = true;

  /** Owns all three. */
  constructor({ device, memory, loop }: { device: D; memory: M; loop: Loop }) {
    this.device = device;
    this.memory = memory;
    this.loop = loop;
  }

  postEvent(room = 8): Sent {
    const request = new Sent(new Uint8Array(new ArrayBuffer(0)), room, (sent) => {
      this.events.push(sent);
    });
    this.device.request(1, request);
    return request;
  }
  /** [type, stream] of each event, in order. */
  get eventList(): [number, number][] {
    return this.events.flatMap((sent) => {
      if (sent.reply?.length !== 8) return [];
      const e = sent.as(s.event);
      return [[e.event_type, e.stream_id] as [number, number]];
    });
  }

  raw(bytes: Uint8Array<ArrayBuffer>, room = ROOM): Sent {
    const request = new Sent(bytes, room, (sent) => {
      if (this.keepAnswers) this.answered.push(sent);
    });
    this.device.request(0, request);
    return request;
  }

  command<F extends Fields>(
    type: number,
    stream: number,
    kind: StructType<F>,
    fill: (q: Struct<F>) => void = () => undefined,
    room = ROOM,
  ): Sent {
    const q = kind.alloc();
    fill(q);
    const header = s.cmdHeader.over(q.$bytes);
    header.type = type;
    header.stream_id = stream;
    return this.raw(q.$bytes, room);
  }

  capability(queue: number): Sent {
    return this.command(0x100, 0, s.queryCapability, (q) => {
      q.queue_type = queue;
    });
  }
  create(stream: number, { format = 0x1006, inMem = 0, outMem = 0 } = {}): Sent {
    return this.command(0x101, stream, s.streamCreate, (q) => {
      q.in_mem_type = inMem;
      q.out_mem_type = outMem;
      q.coded_format = format;
    });
  }
  destroy(stream: number): Sent {
    return this.command(0x102, stream, s.cmdHeader);
  }
  drain(stream: number): Sent {
    return this.command(0x103, stream, s.cmdHeader);
  }

  /** Allocates guest memory. */
  allocate(bytes: number): bigint {
    return this.memory.allocate(bytes);
  }

  /** RESOURCE_CREATE; `planes` are the entries of each plane. */
  resource(
    stream: number,
    queue: number,
    id: number,
    planes: readonly (readonly { address: bigint; length: number }[])[],
    { layout = 1, offsets = [0] as readonly number[], numPlanes = planes.length, cut = 0 } = {},
  ): Sent {
    const entries = planes.flat();
    const bytes = new Uint8Array(new ArrayBuffer(88 + 16 * entries.length));
    const q = s.resourceCreate.over(bytes);
    q.type = 0x104;
    q.stream_id = stream;
    q.queue_type = queue;
    q.resource_id = id;
    q.planes_layout = layout;
    q.num_planes = numPlanes;
    for (const [i, offset] of offsets.entries()) q.plane_offsets.set(i, offset);
    for (const [i, plane] of planes.entries()) if (i < 8) q.num_entries.set(i, plane.length);
    for (const [i, entry] of entries.entries()) {
      const e = memEntry.over(bytes, 88 + 16 * i);
      e.addr = entry.address;
      e.length = entry.length;
    }
    return this.raw(bytes.slice(0, bytes.length - cut));
  }
  /** A resource in one piece of `bytes`; its address. */
  simple(stream: number, queue: number, id: number, bytes: number): bigint {
    const address = this.allocate(bytes);
    this.resource(stream, queue, id, [[{ address, length: bytes }]]);
    return address;
  }

  queue(stream: number, queue: number, id: number, sizes: readonly number[] = [0], ts = 0n): Sent {
    return this.command(0x105, stream, s.resourceQueue, (q) => {
      q.queue_type = queue;
      q.resource_id = id;
      q.timestamp = ts;
      q.num_data_sizes = sizes.length;
      for (const [i, size] of sizes.entries()) if (i < 8) q.data_sizes.set(i, size);
    });
  }
  destroyAll(stream: number, queue: number): Sent {
    return this.command(0x106, stream, s.queueCommand, (q) => {
      q.queue_type = queue;
    });
  }
  clear(stream: number, queue: number): Sent {
    return this.command(0x107, stream, s.queueCommand, (q) => {
      q.queue_type = queue;
    });
  }
  getParams(stream: number, queue: number, ext = true): Sent {
    return this.command(ext ? 0x10d : 0x108, stream, s.queueCommand, (q) => {
      q.queue_type = queue;
    });
  }
  /** The same for a request that is answered at once. */
  params(stream: number, queue: number, ext = true): Params {
    return paramsOf(this.getParams(stream, queue, ext));
  }
  setParams(
    stream: number,
    queue: number,
    wish: Partial<
      Record<"format" | "width" | "height" | "planes" | "memory" | "planeBytes", number>
    >,
    ext = true,
  ): Sent {
    const fill = (q: Struct<typeof s.plainParams.fields>) => {
      q.queue_type = queue;
      q.format = wish.format ?? 0;
      q.frame_width = wish.width ?? 0;
      q.frame_height = wish.height ?? 0;
      q.num_planes = wish.planes ?? 1;
      q["plane_formats[0].plane_size"] = wish.planeBytes ?? 0;
    };
    if (!ext) return this.command(0x109, stream, s.plainParams, fill);
    return this.command(0x10e, stream, s.extParams, (q) => {
      fill(q);
      q.resource_type = wish.memory ?? 0;
    });
  }

  /** Runs the loop until `holds`, at most `timeoutMs`. */
  async until(holds: () => boolean, timeoutMs = 5000): Promise<void> {
    const end = performance.now() + timeoutMs;
    const task = this.loop.promise<void>();
    const timer = this.loop.every(2, () => {
      if (holds()) task.resolve();
      else if (performance.now() > end) task.reject(new Error("waited in vain"));
    });
    try {
      await this.loop.run(task.promise);
    } finally {
      timer[Symbol.dispose]();
    }
  }

  [Symbol.dispose](): void {
    this.device[Symbol.dispose]();
    this.memory[Symbol.dispose]();
    this.loop[Symbol.dispose]();
  }
}

/** The bytes of a RESOURCE_CREATE for INPUT of stream 1, of `entries` ranges of `length` bytes that begin `step` bytes apart. */
export function manyRanges(entries: number, step: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(88 + 16 * entries));
  const q = s.resourceCreate.over(bytes);
  q.type = 0x104;
  q.stream_id = 1;
  q.queue_type = s.INPUT;
  q.planes_layout = 1;
  q.num_planes = 1;
  q.num_entries.set(0, entries);
  const base = Number(BASE); // ranges end below 4 GiB, and a bigint for each costs half of a case
  const words = new Uint32Array(bytes.buffer, 88);
  for (let i = 0; i < entries; i++) {
    words[4 * i] = base + i * step;
    words[4 * i + 2] = length;
  }
  return bytes;
}

/** A driver that calls a device in this process, without rings: an answer arrives when the device gives it. */
export type LocalDriver = Driver<VirtioDevice, TestMemory> & {
  /** Called when the driver starts, also after a reset. */
  start(features?: bigint): void;
  /** Lines about faults of the guest. */
  readonly complaints: string[];
  /** Requests that were refused. */
  refusals: number;
};

export function localDriver(
  backend: CodecBackend,
  {
    maxStreams = 16,
    features = ALL_FEATURES,
    eventBuffers = 32,
    memoryBytes = 8 * 1024 * 1024,
    configSize = 44 as 12 | 44,
    watcher = undefined as Pick<Loop, "watch"> | undefined,
    stretches = new Stretches(),
  } = {},
): LocalDriver {
  const loop = new Loop();
  const memory = new TestMemory([{ address: BASE, length: memoryBytes }]);
  const device = createVideoDevice({ backend, maxStreams, configSize, stretches });
  const start = (ackedFeatures = features) =>
    device.start({
      loop: (watcher ?? loop) as Loop,
      memory,
      ackedFeatures,
      sharedMemory: undefined,
      complain: (text) => complaints.push(text),
      refused: () => {
        driver.refusals += 1;
      },
    });
  const complaints: string[] = [];
  const driver = Object.assign(new Driver({ device, memory, loop }), {
    start,
    complaints,
    refusals: 0,
  });
  start();
  for (let i = 0; i < eventBuffers; i++) driver.postEvent();
  return driver;
}
