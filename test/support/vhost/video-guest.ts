// A guest with a virtio-video driver, for tests of the complete back-end. Commands go through real rings, as chains of any shape.

import type { Fields, Struct, StructType } from "../../../ffi/struct.ts";
import type { CodecBackend } from "../../../src/video/codec/codec.ts";
import { openNull } from "../../../src/video/codec/null.ts";
import { decoderOn } from "../../../src/video/codec/v4l2-decoder.ts";
import * as s from "../../../src/video/structs.ts";
import { createVideoDevice } from "../../../src/video/video-device.ts";
import { memEntry } from "../../../src/virtio/guest-ranges.ts";
import type { VirtioDevice } from "../../../src/virtio/virtio-device.ts";
import { FakeDecoder, type FakeOptions } from "../fake-decoder.ts";
import type { Part } from "./driver.ts";
import { MIB } from "./guest-ram.ts";
import { type Scene, type SceneOptions, turns, withDevice } from "./scene.ts";

type Bytes = Uint8Array<ArrayBuffer>;
const ROOM = 4096;

/** A command in flight, and later its answer. */
export class Sent {
  readonly head: number;
  readonly at: number;
  readonly room: number;
  /** The length that the device returned; undefined while the command is held. */
  length: number | undefined;
  readonly #read: (at: number, length: number) => Bytes;

  constructor(head: number, at: number, room: number, read: (at: number, length: number) => Bytes) {
    this.head = head;
    this.at = at;
    this.room = room;
    this.#read = read;
  }
  get held(): boolean {
    return this.length === undefined;
  }
  get bytes(): Bytes {
    return this.#read(this.at, Math.min(this.length ?? 0, this.room));
  }
  #word(at: number): number {
    const { bytes } = this;
    return bytes.length < at + 4 ? -1 : new DataView(bytes.buffer).getUint32(at, true);
  }
  /** Response type; -1 before the answer. */
  get code(): number {
    return this.#word(0);
  }
  get stream(): number {
    return this.#word(4);
  }
  get flags(): number {
    return this.#word(16);
  }
  get size(): number {
    return this.#word(20);
  }
  get time(): bigint {
    return s.queuedResponse.over(this.bytes).timestamp;
  }
}

export interface VideoScene {
  readonly scene: Scene<VirtioDevice>;
  readonly guest: VideoGuest;
  readonly fake: FakeDecoder | undefined;
}

/** Runs `act` with a guest and its driver: on the null codec, or on v4l2-decoder with a fake decoder. */
export async function withVideo(
  options: SceneOptions & { readonly fake?: FakeOptions; readonly maxStreams?: number },
  act: (of: VideoScene) => Promise<void>,
): Promise<void> {
  const fake = options.fake === undefined ? undefined : new FakeDecoder(options.fake);
  using backend = fake === undefined ? openNull() : decoderOn(fake.open(), () => fake.open());
  const places = options.places ?? [{ guest: 0, size: 8 * MIB }];
  await withDevice(
    { ...options, places },
    () => deviceOf(backend, fake, options.maxStreams ?? 16),
    async (scene) => {
      await scene.hypervisor.realize(options.without);
      await scene.hypervisor.activate();
      await act({ scene, guest: new VideoGuest(scene, fake), fake });
      await turns(scene.loop);
      if (!scene.ram.marginsIntact) throw new Error("it wrote outside guest memory");
    },
  );
}

/** The device. A fake decoder calls it back, because epoll cannot wait for its descriptors. */
function deviceOf(backend: CodecBackend, fake: FakeDecoder | undefined, maxStreams: number) {
  const device = createVideoDevice({ backend, maxStreams });
  if (fake === undefined) return device;
  const start = device.start.bind(device);
  device.start = (host) =>
    start({ ...host, loop: { ...host.loop, watch: fake.watcher.watch.bind(fake.watcher) } });
  return device;
}

export class VideoGuest {
  /** Answered commands, in the order of the used ring. */
  readonly answered: Sent[] = [];
  /** Event type and stream, in order. */
  readonly events: [number, number][] = [];
  readonly #scene: Scene<VirtioDevice>;
  readonly #fake: FakeDecoder | undefined;
  readonly #out = new Map<number, Sent>();
  readonly #buffers = new Map<number, number>();

  constructor(scene: Scene<VirtioDevice>, fake: FakeDecoder | undefined) {
    this.#scene = scene;
    this.#fake = fake;
  }

  /** Puts a command into the ring: one readable and one writable part, or `parts`. */
  offer(bytes: Bytes, room = ROOM, shape: { parts?: Part[]; indirect?: boolean } = {}): Sent {
    const { ram, commands } = this.#scene;
    const at = ram.allocate(Math.max(room, 1));
    const parts = shape.parts ?? [
      { at: ram.place(bytes), length: bytes.length, writable: false },
      { at, length: room, writable: true },
    ];
    const head = commands.add(parts, { indirect: shape.indirect ?? false });
    const read = (from: number, length: number) => ram.bytes(from, length).slice();
    const answer = shape.parts?.find(({ writable }) => writable)?.at ?? at;
    const sent = new Sent(head, answer, room, read);
    this.#out.set(head, sent);
    return sent;
  }

  /** Kicks, waits until the device has worked, and takes the answers. */
  async settle(): Promise<void> {
    const { commands, loop } = this.#scene;
    commands.notify();
    for (let i = 0; i < 3; i++) {
      await turns(loop, 2);
      this.#fake?.settle();
    }
    this.collect();
  }

  /** Takes the chains in the used rings. */
  collect(): void {
    const { commands, events, ram } = this.#scene;
    for (const { head, length } of commands.takeUsed()) {
      const sent = this.#out.get(head);
      this.#out.delete(head);
      if (sent === undefined) throw new Error(`head ${head} came back and was not out`);
      sent.length = length;
      this.answered.push(sent);
    }
    for (const { head, length } of events.takeUsed()) {
      const view = ram.view(this.#buffers.get(head) ?? 0, 8);
      if (length === 8) this.events.push([view.getUint32(0, true), view.getUint32(4, true)]);
    }
  }

  /** Posts buffers for events. */
  async post(count: number): Promise<void> {
    const { events, ram, loop } = this.#scene;
    for (let i = 0; i < count; i++) {
      const at = ram.allocate(8);
      this.#buffers.set(events.add([{ at, length: 8, writable: true }]), at);
    }
    events.notify();
    await turns(loop, 2);
    this.collect();
  }

  /** The bytes of a command. */
  make<F extends Fields>(
    type: number,
    stream: number,
    kind: StructType<F>,
    fill: (q: Struct<F>) => void = () => undefined,
  ): Bytes {
    const q = kind.alloc();
    fill(q);
    const header = s.cmdHeader.over(q.$bytes);
    header.type = type;
    header.stream_id = stream;
    return q.$bytes;
  }

  /** Sends bytes and waits until the device has handled them. */
  async send(bytes: Bytes, room?: number): Promise<Sent> {
    const sent = this.offer(bytes, room);
    await this.settle();
    return sent;
  }

  capability(queue: number): Promise<Sent> {
    return this.send(
      this.make(0x100, 0, s.queryCapability, (q) => {
        q.queue_type = queue;
      }),
    );
  }
  create(stream: number, memory = 0, format = 0x1006): Promise<Sent> {
    return this.send(
      this.make(0x101, stream, s.streamCreate, (q) => {
        q.in_mem_type = memory;
        q.out_mem_type = memory;
        q.coded_format = format;
      }),
    );
  }
  destroy(stream: number): Promise<Sent> {
    return this.send(this.make(0x102, stream, s.cmdHeader));
  }
  drain(stream: number): Promise<Sent> {
    return this.send(this.make(0x103, stream, s.cmdHeader));
  }

  /** The bytes of RESOURCE_CREATE: one plane of `entries`, with the changes of `change`. */
  resourceBytes(
    stream: number,
    queue: number,
    id: number,
    entries: readonly { at: number | bigint; length: number }[],
    change: (q: Struct<typeof s.resourceCreate.fields>) => void = () => undefined,
  ): Bytes {
    const bytes = new Uint8Array(new ArrayBuffer(88 + 16 * entries.length));
    const q = s.resourceCreate.over(bytes);
    Object.assign(q, { type: 0x104, stream_id: stream, queue_type: queue, resource_id: id });
    q.planes_layout = 1;
    q.num_planes = 1;
    q.num_entries.set(0, entries.length);
    for (const [i, { at, length }] of entries.entries()) {
      const entry = memEntry.over(bytes, 88 + 16 * i);
      entry.addr = BigInt(at);
      entry.length = length;
    }
    change(q);
    return bytes;
  }
  /** Creates a resource of `length` bytes in `pieces` that are not adjacent. The addresses of the pieces. */
  async resource(
    stream: number,
    queue: number,
    id: number,
    length: number,
    pieces = 1,
  ): Promise<number[]> {
    const entries = Array.from({ length: pieces }, () => {
      const at = this.#scene.ram.allocate(length / pieces + 64);
      return { at, length: length / pieces };
    }).reverse();
    const sent = await this.send(this.resourceBytes(stream, queue, id, entries));
    if (sent.code !== 0x200) throw new Error(`RESOURCE_CREATE: 0x${sent.code.toString(16)}`);
    return entries.map(({ at }) => at);
  }

  queueBytes(
    stream: number,
    queue: number,
    id: number,
    sizes: readonly number[] = [0],
    time = 0n,
  ): Bytes {
    return this.make(0x105, stream, s.resourceQueue, (q) => {
      q.queue_type = queue;
      q.resource_id = id;
      q.timestamp = time;
      q.num_data_sizes = sizes.length;
      for (const [i, size] of sizes.entries()) if (i < 8) q.data_sizes.set(i, size);
    });
  }
  queue(...of: Parameters<VideoGuest["queueBytes"]>): Promise<Sent> {
    return this.send(this.queueBytes(...of));
  }
  clear(stream: number, queue: number): Promise<Sent> {
    return this.#ofQueue(0x107, stream, queue);
  }
  destroyAll(stream: number, queue: number): Promise<Sent> {
    return this.#ofQueue(0x106, stream, queue);
  }
  #ofQueue(type: number, stream: number, queue: number): Promise<Sent> {
    return this.send(
      this.make(type, stream, s.queueCommand, (q) => {
        q.queue_type = queue;
      }),
    );
  }
  async params(stream: number, queue: number, ext = true) {
    const { bytes } = await this.#ofQueue(ext ? 0x10d : 0x108, stream, queue);
    const all = s.extParams.alloc();
    all.$bytes.set(bytes);
    return all;
  }
  setParams(
    stream: number,
    queue: number,
    wish: Partial<Struct<typeof s.extParams.fields>>,
    ext = true,
  ): Promise<Sent> {
    const fill = (q: object) => Object.assign(q, { queue_type: queue, num_planes: 1 }, wish);
    return this.send(
      ext
        ? this.make(0x10e, stream, s.extParams, fill)
        : this.make(0x109, stream, s.plainParams, fill),
    );
  }
}
