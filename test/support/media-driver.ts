// A driver of the media device that calls it in this process, without rings, as the Linux driver does: one command at a time, one
// memory for both copies of an argument, 16 event buffers that are posted again after use.
import type { Ioctl } from "../../ffi/ioctl.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import type { Fields, Struct } from "../../ffi/struct.ts";
import { pixelFormat } from "../../src/format/formats.ts";
import { type Picture, wholeBytes } from "../../src/format/picture-layout.ts";
import { TICK_MS } from "../../src/media/answer-time.ts";
import type { Controls } from "../../src/media/controls.ts";
import { madeOffers } from "../../src/media/made-offers.ts";
import { MediaCounts } from "../../src/media/media-counts.ts";
import { createMediaDevice } from "../../src/media/media-device.ts";
import type { MediaSource, Viewer } from "../../src/media/media-source.ts";
import type { Interval, Mode } from "../../src/media/offers.ts";
import * as p from "../../src/media/protocol.ts";
import type { Selections } from "../../src/media/selections.ts";
import { BufferMemory, Quota } from "../../src/virtio/buffer-memory.ts";
import type { DeviceLoop } from "../../src/virtio/virtio-device.ts";
import { FakeSharedMemory } from "./fake-shared-memory.ts";
import { TestMemory } from "./guest-memory.ts";
import { Sent } from "./video-driver.ts";

export const BASE = 0x1000_0000n;

/** A loop whose timers run when the test says so. */
export class ManualLoop implements DeviceLoop {
  readonly #timers = new Set<{ readonly handler: () => void; readonly repeats: boolean }>();

  watch(): never {
    throw new Error("nothing is watched here");
  }
  every(_periodMs: number, handler: () => void): Disposable {
    return this.#add(handler, true);
  }
  after(_delayMs: number, handler: () => void): Disposable {
    return this.#add(handler, false);
  }
  #add(handler: () => void, repeats: boolean): Disposable {
    const timer = { handler, repeats };
    this.#timers.add(timer);
    return { [Symbol.dispose]: () => this.#timers.delete(timer) };
  }
  get timers(): number {
    return this.#timers.size;
  }
  /** Runs every timer once. */
  run(): void {
    for (const timer of [...this.#timers]) {
      if (!this.#timers.has(timer)) continue;
      if (!timer.repeats) this.#timers.delete(timer);
      timer.handler();
    }
  }
}

/** How a picture is shown: in pieces of `piece` bytes, or in one. */
interface ShownAs {
  readonly bytes?: number;
  readonly piece?: number;
  readonly tsSec?: number;
  readonly tsUsec?: number;
}

/** A source whose pictures the test makes. */
export class FakeSource implements MediaSource {
  readonly name = "fake source";
  readonly offers;
  readonly controls: Controls | undefined;
  selections: Selections | undefined;
  viewer: Viewer | undefined;
  mode: Mode | undefined;
  interval: Interval | undefined;
  starts = 0;
  /** Its rate; undefined: not known. */
  fps: number | undefined = 1;
  /** Size and format of its pictures, where they are not the guest's. */
  picture: Picture | undefined;
  #memory: BufferMemory;

  constructor(
    offers = madeOffers(["YUYV", "NV12"], undefined, [30]),
    controls: Controls | undefined = undefined,
  ) {
    this.offers = offers;
    this.controls = controls;
    const memory = BufferMemory.create(new Quota(1 << 26), 1 << 22, "pictures");
    if (memory === undefined) throw new Error("no memory");
    this.#memory = memory;
  }

  start(_loop: DeviceLoop, mode: Mode, interval: Interval, viewer: Viewer): void {
    this.viewer = viewer;
    this.mode = mode;
    this.interval = interval;
    this.starts += 1;
    viewer.begin(this.picture ?? mode, this.fps);
  }
  stop(): void {
    this.viewer = undefined;
  }

  /** Shows a picture whose bytes all are `value`. */
  show(value: number, { bytes = this.size, piece = 0, tsSec = 7, tsUsec = 8 }: ShownAs = {}): void {
    const step = piece || Math.max(1, bytes);
    this.#memory.bytes.fill(value, 0, bytes);
    const { address } = this.#memory;
    const pieces = Array.from({ length: Math.ceil(bytes / step) }, (_, i) => ({
      address: address + i * step,
      length: Math.min(step, bytes - i * step),
    }));
    this.viewer?.show({ pieces, bytesused: bytes, tsSec, tsUsec });
  }
  get size(): number {
    const mode = this.picture ?? this.mode;
    if (mode === undefined) throw new Error("not started");
    return pixelFormat(mode.pixelformat) === undefined ? 1000 : wholeBytes(mode);
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }
}

/** An answer to an ioctl: the errno, and the struct as the guest has it now. */
export interface Answered<F extends Fields> {
  readonly status: number;
  readonly q: Struct<F>;
  /** What came back behind the struct. */
  readonly tail: Uint8Array<ArrayBuffer>;
  readonly sent: Sent;
}

export interface Frame {
  readonly session: number;
  readonly index: number;
  readonly bytesused: number;
  readonly flags: number;
  readonly sequence: number;
  readonly tsSec: number;
  readonly tsUsec: number;
  readonly length: number;
}

const EVENT_BUFFERS = 16;

interface IoctlOptions {
  readonly tail?: Uint8Array<ArrayBuffer>;
  /** Writable bytes; by default what the answer needs. */
  readonly room?: number;
  /** Bytes of the tail that are part of the answer. */
  readonly echo?: number;
}

const none = new Uint8Array(new ArrayBuffer(0));

export interface MediaDriverOptions {
  readonly source?: FakeSource;
  /** Bytes of the region and of all buffers; the monitor has no region with 0. */
  readonly regionBytes?: number;
  readonly memoryBytes?: number;
  readonly eventBuffers?: number;
}

export class MediaDriver implements Disposable {
  readonly source: FakeSource;
  readonly loop = new ManualLoop();
  readonly region: FakeSharedMemory;
  readonly memory: TestMemory;
  readonly counts = new MediaCounts();
  readonly device;
  readonly complaints: string[] = [];
  readonly frames: Frame[] = [];
  readonly events: Struct<typeof v.v4l2Event.fields>[] = [];
  /** The device's clock. */
  nowMs = 1000;
  refusals = 0;
  hasRegion: boolean;
  /** Posts each event buffer again after use, as the Linux driver does. */
  repost = true;
  /** The place of the last event in the order of all answers. */
  lastEventOrder = 0;
  #lastAnswer: Sent | undefined;

  constructor({
    source = new FakeSource(),
    regionBytes = 1 << 26,
    memoryBytes = 1 << 22,
    eventBuffers = EVENT_BUFFERS,
  }: MediaDriverOptions = {}) {
    this.source = source;
    this.hasRegion = regionBytes > 0;
    const bytes = regionBytes || 1 << 26;
    this.region = new FakeSharedMemory(bytes);
    this.memory = new TestMemory([{ address: BASE, length: memoryBytes }]);
    this.device = createMediaDevice({
      source,
      card: "framepass lab camera",
      memoryBytes: bytes,
      counts: this.counts,
      now: () => this.nowMs,
    });
    this.start(eventBuffers);
  }

  /** A driver starts, as after a reset of the machine. */
  start(eventBuffers = EVENT_BUFFERS): void {
    const driver = this;
    this.device.start({
      loop: this.loop,
      memory: this.memory,
      ackedFeatures: 0n,
      get sharedMemory() {
        return driver.hasRegion ? driver.region : undefined;
      },
      complain: (text) => this.complaints.push(text),
      refused: () => {
        this.refusals += 1;
      },
    });
    for (let i = 0; i < eventBuffers; i++) this.post();
  }

  /** The machine is reset: the device, then its mappings. */
  reset(): void {
    this.device.reset();
    this.region.reset();
  }

  /** Time passes, in steps of the device's timer. */
  pass(ms: number): void {
    for (let done = 0; done < ms; done += TICK_MS) {
      this.nowMs += TICK_MS;
      this.loop.run();
    }
  }

  /** This process is stopped for so long; then its loop runs again. */
  stopProcess(ms: number): void {
    this.nowMs += ms;
  }

  post(room = p.DQBUF_EVENT_BYTES): Sent {
    const request = new Sent(new Uint8Array(new ArrayBuffer(0)), room, (sent) => {
      this.lastEventOrder = sent.order;
      this.#event(sent.reply ?? new Uint8Array(new ArrayBuffer(0)));
      if (this.repost && room === p.DQBUF_EVENT_BYTES) this.post();
    });
    this.device.request(1, request);
    return request;
  }

  #event(bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.length === 0) return;
    const { event, session_id } = p.eventHeader.over(bytes);
    if (event === p.EVENT_EVENT) {
      if (bytes.length !== p.EVENT_EVENT_BYTES) throw new Error(`an event of ${bytes.length}`);
      this.events.push(v.v4l2Event.over(bytes, p.eventHeader.size));
      return;
    }
    if (event !== p.EVENT_DQBUF || bytes.length !== p.DQBUF_EVENT_BYTES)
      throw new Error(`event ${event} of ${bytes.length} bytes`);
    const q = v.v4l2Buffer.over(bytes, p.eventHeader.size);
    this.frames.push({
      session: session_id,
      index: q.index,
      bytesused: q.bytesused,
      flags: q.flags,
      sequence: q.sequence,
      tsSec: q["timestamp.tv_sec"],
      tsUsec: q["timestamp.tv_usec"],
      length: q.length,
    });
  }

  /** Sends a command of any bytes. */
  raw(bytes: Uint8Array<ArrayBuffer>, room: number): Sent {
    const request = new Sent(bytes, room, (sent) => {
      this.#lastAnswer = sent;
    });
    this.device.request(0, request);
    return request;
  }

  /** The command that was answered last. */
  get lastAnswer(): Sent | undefined {
    return this.#lastAnswer;
  }

  open(): number {
    const q = p.header.alloc();
    q.cmd = p.OPEN;
    const sent = this.raw(q.$bytes, p.openAnswer.size);
    if (statusOf(sent) !== 0) throw new Error(`OPEN: ${statusOf(sent)}`);
    return sent.as(p.openAnswer).session_id;
  }

  close(session: number): Sent {
    const q = p.closeCommand.alloc();
    p.header.over(q.$bytes).cmd = p.CLOSE;
    q.session_id = session;
    return this.raw(q.$bytes, 0);
  }

  mmap(session: number, offset: number, flags = 1): Sent {
    const q = p.mmapCommand.alloc();
    p.header.over(q.$bytes).cmd = p.MMAP;
    q.session_id = session;
    q.flags = flags;
    q.offset = offset;
    return this.raw(q.$bytes, p.mmapAnswer.size);
  }

  munmap(address: bigint): number {
    return statusOf(this.munmapSent(address));
  }

  munmapSent(address: bigint): Sent {
    const q = p.munmapCommand.alloc();
    p.header.over(q.$bytes).cmd = p.MUNMAP;
    q.driver_addr = address;
    return this.raw(q.$bytes, p.answerHeader.size);
  }

  /** An ioctl as the Linux driver sends it. `tail` follows the struct. */
  ioctl<F extends Fields>(
    session: number,
    row: Ioctl<F>,
    fill: (q: Struct<F>) => void = () => undefined,
    { tail = none, room = -1, echo = tail.length }: IoctlOptions = {},
  ): Answered<F> {
    const { size } = row.argument;
    const head = p.ioctlCommand.size;
    const direction = row.code >>> 30;
    const takes = (direction & 1) !== 0;
    const bytes = new Uint8Array(new ArrayBuffer(head + (takes ? size + tail.length : 0)));
    const command = p.ioctlCommand.over(bytes);
    p.header.over(bytes).cmd = p.IOCTL;
    command.session_id = session;
    command.code = row.code & 0xff;
    const q = row.argument.alloc();
    fill(q);
    if (takes) {
      bytes.set(q.$bytes, head);
      bytes.set(tail, head + size);
    }
    const gives = (direction & 2) !== 0;
    const wanted = p.answerHeader.size + (gives ? size + echo : 0);
    const sent = this.raw(bytes, room < 0 ? wanted : room);
    const status = statusOf(sent);
    const reply = sent.reply ?? new Uint8Array(new ArrayBuffer(0));
    if (status < 0) return { status, q, tail: none, sent };
    if (status === 0 && gives && reply.length < p.answerHeader.size + size)
      throw new Error(`${row.name}: an answer of ${reply.length} bytes`);
    if (reply.length >= p.answerHeader.size + size)
      q.$bytes.set(reply.subarray(p.answerHeader.size, p.answerHeader.size + size));
    return { status, q, tail: reply.slice(p.answerHeader.size + size), sent };
  }

  /** The guest's bytes of a buffer that is mapped at `address` of the region. */
  mapped(address: bigint): Uint8Array<ArrayBuffer> {
    const found = this.region.mapped.get(Number(address));
    if (found === undefined) throw new Error(`nothing is mapped at ${address}`);
    return found.memory.bytes;
  }

  [Symbol.dispose](): void {
    this.device[Symbol.dispose]();
    this.region.reset();
    this.memory[Symbol.dispose]();
    this.source[Symbol.dispose]();
  }
}

/** The status of an answer; -1 while there is none. */
export function statusOf(sent: Sent): number {
  const { reply } = sent;
  return reply === undefined || reply.length < 4
    ? -1
    : new DataView(reply.buffer, reply.byteOffset).getUint32(0, true);
}
