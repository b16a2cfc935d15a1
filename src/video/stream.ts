// A stream: the driver's resources, the commands that are held until the decoder is done, and the order in which
// they are answered. Draft v3, "Device operation", as real drivers need it: docs/virtio-video.md.
import { SysError } from "../../ffi/errno.ts";
import { log } from "../cli/log.ts";
import type { GuestMemory, Request } from "../virtio/virtio-device.ts";
import type { CodecSession, ParamsWish, QueueParams, StreamClient } from "./codec/codec.ts";
import type { Events } from "./events.ts";
import { answerCode, answerQueued } from "./replies.ts";
import type { Resource } from "./resource.ts";
import {
  BUFFER_EOS,
  BUFFER_ERR,
  EVENT_ERROR,
  EVENT_RESOLUTION_CHANGED,
  INPUT,
  OUTPUT,
  type QueueType,
  response,
  VideoError,
} from "./structs.ts";

/** Resources a queue may have. */
export const MAX_RESOURCES = 64;
const ok = response.OK_NODATA;

/** One queue of a stream. */
class Side {
  readonly resources = new Map<number, Resource>();
  /** Queued by the driver and not with the codec, oldest first. */
  readonly waiting: Resource[] = [];
  memoryType: number;
  constructor(memoryType: number) {
    this.memoryType = memoryType;
  }
}

export interface StreamOptions {
  readonly id: number;
  readonly inMemoryType: number;
  readonly outMemoryType: number;
  readonly events: Events;
  readonly open: (client: StreamClient) => CodecSession;
}

export class Stream implements StreamClient, Disposable {
  readonly id: number;
  readonly #input: Side;
  readonly #output: Side;
  readonly #events: Events;
  readonly #session: CodecSession;
  /** The STREAM_DRAIN that has not been answered. */
  #drain: Request | undefined;
  /** The codec has brought out everything; what is left to do is the EOS buffer. */
  #drained = false;
  /** The driver has to read the new parameters before its picture buffers are used. */
  #parametersUnread = false;
  /** The driver has got the event and not yet asked: an EOS buffer now would stall it. */
  #eventUnanswered = false;
  /** Old picture buffers stay parked after a change in mid-stream until the driver takes them back. */
  #changing = false;
  /** The end of the old pictures has to be shown by an EOS buffer. */
  #changeEos = false;
  #failed = false;
  #paused = false;

  /** Throws SysError when the codec cannot serve one more. */
  constructor(options: StreamOptions) {
    this.id = options.id;
    this.#input = new Side(options.inMemoryType);
    this.#output = new Side(options.outMemoryType);
    this.#events = options.events;
    this.#session = options.open(this);
  }

  #side(queue: QueueType): Side {
    return queue === INPUT ? this.#input : this.#output;
  }

  /** Runs a step of the codec; one that fails ends the stream, not the device. */
  #step(action: () => void): void {
    if (this.#failed) return;
    try {
      action();
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      this.failed(error.message);
    }
  }

  #pump(): void {
    if (this.#paused) return;
    this.#step(() => this.#session.pump());
    this.#finishDrain();
  }

  // Commands.

  memoryType(queue: QueueType): number {
    return this.#side(queue).memoryType;
  }

  setMemoryType(queue: QueueType, type: number): void {
    this.#side(queue).memoryType = type;
  }

  params(queue: QueueType): QueueParams {
    return this.#session.params(queue);
  }

  /** The driver has been told the parameters: buffers of OUTPUT may be used from now on. */
  parametersRead(queue: QueueType): void {
    if (queue !== OUTPUT || !(this.#parametersUnread || this.#eventUnanswered)) return;
    this.#parametersUnread = false;
    this.#eventUnanswered = false;
    this.#sendChangeEos();
    this.#pump();
  }

  configure(queue: QueueType, wish: ParamsWish): void {
    this.#step(() => this.#session.configure(queue, wish));
  }

  control(number: number): number | undefined {
    return this.#session.control(number);
  }

  setControl(number: number, value: number): boolean {
    return this.#session.setControl(number, value);
  }

  /** Throws VideoError unless one more resource, or that one anew, may be created. */
  checkNew(queue: QueueType, id: number): void {
    const { resources } = this.#side(queue);
    if (resources.get(id)?.queued) throw new VideoError("ERR_INVALID_RESOURCE_ID");
    if (!resources.has(id) && resources.size >= MAX_RESOURCES)
      throw new VideoError("ERR_OUT_OF_MEMORY");
  }

  add(queue: QueueType, resource: Resource): void {
    this.#side(queue).resources.set(resource.id, resource);
  }

  /** The resource a RESOURCE_QUEUE is about. Throws VideoError unless it may be queued now. */
  queueable(queue: QueueType, id: number): Resource {
    const resource = this.#side(queue).resources.get(id);
    if (resource === undefined) throw new VideoError("ERR_INVALID_RESOURCE_ID");
    if (resource.queued || (queue === INPUT && this.#drain !== undefined))
      throw new VideoError("ERR_INVALID_OPERATION");
    return resource;
  }

  /** Takes a checked RESOURCE_QUEUE; it is answered when the codec is done with the buffer. */
  queue(queue: QueueType, resource: Resource, request: Request): void {
    resource.request = request;
    if (this.#failed || resource.gone) {
      this.#giveBack(resource, BUFFER_ERR);
      return;
    }
    if (queue === INPUT && resource.size === 0) {
      this.#giveBack(resource, 0); // nothing to decode, and V4L2 takes "0 bytes" for "all of it"
      return;
    }
    const side = this.#side(queue);
    // The map's order is that of queueing: buffers that are all given back go in the order they came.
    side.resources.delete(resource.id);
    side.resources.set(resource.id, resource);
    side.waiting.push(resource);
    if (queue === OUTPUT) this.#sendChangeEos();
    this.#pump();
  }

  drain(request: Request): void {
    if (this.#drain !== undefined || this.#failed) throw new VideoError("ERR_INVALID_OPERATION");
    this.#drain = request;
    this.#pump();
  }

  /** Gives every queued buffer of a queue back, and only then returns. */
  clear(queue: QueueType): void {
    this.#step(() => this.#session.clear(queue));
    this.#giveAllBack(this.#side(queue));
    if (queue === INPUT) this.#cancelDrain();
    else this.#oldBuffersGone();
    this.#pump();
  }

  destroyResources(queue: QueueType): void {
    this.#step(() => this.#session.clear(queue));
    this.#giveAllBack(this.#side(queue));
    this.#side(queue).resources.clear();
    this.#step(() => this.#session.release(queue));
    if (queue === OUTPUT) this.#oldBuffersGone();
    this.#pump();
  }

  #oldBuffersGone(): void {
    this.#changing = false;
    this.#changeEos = false;
  }

  /** Ends the stream: everything that is held is answered, then nothing is. */
  destroy(): void {
    this.#session[Symbol.dispose]();
    this.#failed = true;
    for (const side of [this.#input, this.#output]) this.#giveAllBack(side);
    this.#cancelDrain();
    this.#events.drop(this.id);
  }

  pause(): void {
    this.#paused = true;
    this.#session.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#step(() => this.#session.resume());
    this.#sendChangeEos();
    this.#pump();
  }

  /** Looks every resource up in a new memory table; what has lost its memory while it waits goes back with an error. */
  memoryChanged(memory: GuestMemory): void {
    for (const queue of [INPUT, OUTPUT] as const) {
      const side = this.#side(queue);
      let moved = false;
      for (const resource of side.resources.values()) {
        const before = resource.contiguous;
        resource.resolve(memory);
        moved ||= resource.contiguous !== before;
      }
      // Hardware that works on guest memory itself knows the old places.
      if (!moved) this.#session.forgetPlaces(queue);
      else if (this.#session.zeroCopy(queue)) {
        this.#step(() => this.#session.clear(queue));
        this.#step(() => this.#session.release(queue));
        for (const resource of side.resources.values())
          if (!side.waiting.includes(resource)) this.#giveBack(resource, BUFFER_ERR);
      }
      for (const resource of side.waiting.filter(({ gone }) => gone)) {
        side.waiting.splice(side.waiting.indexOf(resource), 1);
        this.#giveBack(resource, BUFFER_ERR);
      }
    }
    this.#pump();
  }

  // What the codec calls.

  get draining(): boolean {
    return this.#drain !== undefined && !this.#drained;
  }

  get inputsWaiting(): number {
    return this.#input.waiting.length;
  }

  takeInput(): Resource | undefined {
    return this.#input.waiting.shift();
  }

  inputDone(resource: Resource, failed: boolean): void {
    this.#giveBack(resource, failed ? BUFFER_ERR : 0);
  }

  get outputsWaiting(): number {
    const held = this.#parametersUnread || this.#changing || this.#paused;
    return held ? 0 : this.#output.waiting.length;
  }

  takeOutput(bytes: number): Resource | undefined {
    while (this.outputsWaiting > 0) {
      const resource = this.#output.waiting.shift();
      if (resource === undefined || resource.room >= bytes) return resource;
      this.#giveBack(resource, BUFFER_ERR);
    }
    return undefined;
  }

  returnOutput(resource: Resource): void {
    if (resource.queued) this.#output.waiting.unshift(resource);
  }

  resources(queue: QueueType): readonly Resource[] {
    return [...this.#side(queue).resources.values()];
  }

  wake(): void {
    this.#sendChangeEos();
    this.#pump();
  }

  outputDone(resource: Resource, timestamp: bigint, size: number, failed: boolean): void {
    const { request } = resource;
    if (request === undefined) return;
    resource.request = undefined;
    answerQueued(request, this.id, timestamp, failed ? BUFFER_ERR : 0, failed ? 0 : size);
  }

  drained(): void {
    this.#drained = true;
    this.#finishDrain();
  }

  resolutionChanged(midStream: boolean): void {
    this.#parametersUnread = true;
    if (midStream) {
      this.#changing = true;
      this.#changeEos = true;
    }
    this.#events.send(EVENT_RESOLUTION_CHANGED, this.id, () => {
      this.#eventUnanswered = true;
    });
  }

  failed(reason: string): void {
    if (this.#failed) return;
    this.#failed = true;
    log.withTag("video").warn(`stream ${this.id}: ${reason}; the stream has ended`);
    this.#session[Symbol.dispose]();
    for (const side of [this.#input, this.#output]) this.#giveAllBack(side);
    this.#cancelDrain();
    this.#events.send(EVENT_ERROR, this.id);
  }

  // Answers.

  #giveBack(resource: Resource, flags: number): void {
    const { request } = resource;
    if (request === undefined) return;
    resource.request = undefined;
    answerQueued(request, this.id, resource.timestamp, flags, 0);
  }

  #giveAllBack(side: Side): void {
    side.waiting.length = 0;
    for (const resource of side.resources.values()) this.#giveBack(resource, BUFFER_ERR);
  }

  #cancelDrain(): void {
    const request = this.#drain;
    this.#drain = undefined;
    this.#drained = false;
    if (request !== undefined) answerCode(request, this.id, response.ERR_INVALID_OPERATION);
  }

  /** The old pictures are all out: an empty EOS buffer says so, once the driver knows the new parameters. */
  #sendChangeEos(): void {
    if (!this.#changeEos || this.#paused || this.#parametersUnread || this.#eventUnanswered) return;
    const resource = this.#output.waiting.shift();
    if (resource === undefined) return;
    this.#changeEos = false;
    this.#giveBack(resource, BUFFER_EOS);
  }

  /** Everything is out: one more, empty, buffer carries EOS (drivers empty it anyway), then the drain is answered. */
  #finishDrain(): void {
    const request = this.#drain;
    if (!this.#drained || request === undefined || this.#eventUnanswered) return;
    if (this.#output.resources.size > 0) {
      if (this.outputsWaiting === 0) return;
      const resource = this.#output.waiting.shift();
      if (resource === undefined) return;
      this.#giveBack(resource, BUFFER_EOS);
    }
    this.#drain = undefined;
    this.#drained = false;
    answerCode(request, this.id, ok);
  }

  /** Lets go of the codec without a word to the driver, which is gone. */
  [Symbol.dispose](): void {
    this.#failed = true;
    this.#session[Symbol.dispose]();
  }
}
