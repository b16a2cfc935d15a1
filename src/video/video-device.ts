// The virtio-video decoder, draft v3: dispatches requests to rows of commands.ts and owns the streams.
import { logsDebug } from "../cli/log.ts";
import type { DeviceHost, GuestMemory, Request, VirtioDevice } from "../virtio/virtio-device.ts";
import { encodeCapability, MAX_CAPS_LENGTH } from "./capability.ts";
import type { CodecBackend } from "./codec/codec.ts";
import type { Command, CommandDevice } from "./command.ts";
import { commands } from "./commands.ts";
import { Events } from "./events.ts";
import { GuestFaults } from "./guest-faults.ts";
import { answerCode } from "./replies.ts";
import { RequestTrace } from "./request-trace.ts";
import type { Stream } from "./stream.ts";
import { Stretches } from "./stretches.ts";
import {
  config,
  F_RESOURCE_GUEST_PAGES,
  F_RESOURCE_NON_CONTIG,
  INPUT,
  OUTPUT,
  type QueueType,
  VIRTIO_ID_VIDEO_DECODER,
  VideoError,
} from "./structs.ts";

export interface VideoDeviceOptions {
  readonly backend: CodecBackend;
  readonly maxStreams: number;
  /** Bytes of config space: 12 as in the draft, 44 with the name that later headers have. */
  readonly configSize?: 12 | 44;
  /** The stretches that resources are made into. */
  readonly stretches?: Stretches;
}

const COMMAND_QUEUE = 0;
const EVENT_QUEUE = 1;
/** The fixed part of the longest command. */
const SCRATCH_BYTES = 128;
const HEADER_BYTES = 8;
/** All streams together may wait this long for pictures that decoders work on when the rings stop or memory moves. */
const SETTLE_MS = 1000;
const nothing = new Uint8Array(new ArrayBuffer(0));

/** Makes the device for one connection. The caller keeps the ownership of the back-end. */
export function createVideoDevice(options: VideoDeviceOptions): VirtioDevice {
  return new VideoDevice(options);
}

class VideoDevice implements VirtioDevice, CommandDevice {
  readonly deviceId = VIRTIO_ID_VIDEO_DECODER;
  readonly features = F_RESOURCE_GUEST_PAGES | F_RESOURCE_NON_CONTIG;
  readonly queues = 2;
  readonly eventQueue = EVENT_QUEUE;
  readonly backend: CodecBackend;
  readonly maxStreams: number;
  readonly streams = new Map<number, Stream>();
  readonly events = new Events();
  readonly faults = new GuestFaults();
  readonly stretches: Stretches;
  /** The answers to QUERY_CAPABILITY. */
  readonly capability: Readonly<Record<QueueType, Uint8Array<ArrayBuffer>>>;
  readonly #config: Uint8Array<ArrayBuffer>;
  readonly #scratch = new Uint8Array(new ArrayBuffer(SCRATCH_BYTES));
  readonly #header = new DataView(this.#scratch.buffer);
  readonly #bodies = new Map(
    [...commands.values()].map((row) => [row.type, row.request.over(this.#scratch)]),
  );
  readonly #trace = new RequestTrace();
  #host: DeviceHost | undefined;
  #memory: GuestMemory | undefined;

  constructor(options: VideoDeviceOptions) {
    const { backend, maxStreams, configSize = config.size as 44, stretches } = options;
    this.backend = backend;
    this.stretches = stretches ?? new Stretches();
    this.maxStreams = maxStreams;
    const { input, output } = backend.capabilities;
    this.capability = { [INPUT]: encodeCapability(input), [OUTPUT]: encodeCapability(output) };
    const space = config.alloc();
    space.max_caps_length = MAX_CAPS_LENGTH;
    space.max_resp_length = MAX_CAPS_LENGTH;
    const name = new TextEncoder().encode(backend.deviceName).subarray(0, 31);
    space.$bytes.set(name, config.fields.device_name.offset);
    this.#config = space.$bytes.slice(0, configSize);
  }

  config(): Uint8Array<ArrayBuffer> {
    return this.#config.slice();
  }

  /** Whether a plane may consist of several entries. */
  get nonContiguous(): boolean {
    return ((this.#host?.ackedFeatures ?? 0n) & F_RESOURCE_NON_CONTIG) !== 0n;
  }

  get memory(): GuestMemory {
    if (this.#memory === undefined)
      throw new VideoError("ERR_INVALID_OPERATION", "the device has no memory table");
    return this.#memory;
  }

  get loop(): DeviceHost["loop"] {
    if (this.#host === undefined)
      throw new VideoError("ERR_INVALID_OPERATION", "the device was not started");
    return this.#host.loop;
  }

  /** The stream of that number. Throws VideoError. */
  stream(id: number): Stream {
    const stream = this.streams.get(id);
    if (stream === undefined)
      throw new VideoError("ERR_INVALID_STREAM_ID", "there is no stream of that number");
    return stream;
  }

  start(host: DeviceHost): void {
    this.reset();
    this.#host = host;
    this.#memory = host.memory;
    this.faults.reportTo(host);
  }

  request(queue: number, request: Request): void {
    if (queue === COMMAND_QUEUE) this.#command(request);
    else if (queue === EVENT_QUEUE) this.events.post(request);
    else request.answer(nothing);
  }

  #command(request: Request): void {
    const { bytes } = request;
    if (bytes.length < HEADER_BYTES) {
      this.faults.headless(bytes.length);
      request.answer(nothing);
      return;
    }
    // Views of this memory exist already: a command makes none.
    const scratch = this.#scratch;
    const length = Math.min(bytes.length, SCRATCH_BYTES);
    for (let i = 0; i < length; i++) scratch[i] = bytes[i] ?? 0;
    scratch.fill(0, length);
    const type = this.#header.getUint32(0, true);
    const stream = this.#header.getUint32(4, true);
    const row = commands.get(type);
    if (!logsDebug()) {
      this.#run(row, type, stream, request);
      return;
    }
    const body = row === undefined ? undefined : this.#bodies.get(row.type);
    const traced = this.#trace.follow(request, { type, stream, row }, body);
    this.#run(row, type, stream, traced);
    traced.ran();
  }

  #run(row: Command | undefined, type: number, stream: number, request: Request): void {
    try {
      if (row === undefined)
        throw new VideoError("ERR_INVALID_OPERATION", `there is no command 0x${type.toString(16)}`);
      if (request.bytes.length < row.request.size)
        throw new VideoError(
          "ERR_INVALID_PARAMETER",
          `the request has ${request.bytes.length} bytes and needs ${row.request.size}`,
        );
      row.run(this, this.#bodies.get(row.type), request);
    } catch (error) {
      if (!(error instanceof VideoError)) throw error;
      this.faults.refused(stream, row?.name ?? "a command", error);
      (row?.refuse ?? answerCode)(request, stream, error.code);
    }
  }

  pause(): void {
    const lateMs = performance.now() + SETTLE_MS;
    for (const stream of this.streams.values()) stream.pause(lateMs);
  }

  resume(): void {
    for (const stream of this.streams.values()) stream.resume();
  }

  reset(): void {
    const streams = [...this.streams.values()];
    this.streams.clear();
    this.events.reset();
    this.#trace.reset();
    for (const stream of streams) stream[Symbol.dispose]();
  }

  memoryChanged(memory: GuestMemory): void {
    this.#memory = memory;
    const lateMs = performance.now() + SETTLE_MS;
    for (const stream of this.streams.values()) stream.memoryChanged(memory, lateMs);
  }

  [Symbol.dispose](): void {
    this.reset();
  }
}
