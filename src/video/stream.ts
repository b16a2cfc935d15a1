// A stream: its queues, the commands it holds until the decoder is done, and the order of their answers. Draft v3, "Device
// operation"; what real drivers need beyond it is in docs/virtio-video.md.
import { SysError } from "../../ffi/errno.ts";
import type { GuestMemory, Request } from "../virtio/virtio-device.ts";
import type { CodecSession, ParamsWish, QueueParams, StreamClient } from "./codec/codec.ts";
import { Drain } from "./drain.ts";
import type { Events } from "./events.ts";
import { ParameterChange } from "./parameter-change.ts";
import type { Resource } from "./resource.ts";
import { StreamQueue } from "./stream-queue.ts";
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

export interface StreamOptions {
  readonly id: number;
  readonly inMemoryType: number;
  readonly outMemoryType: number;
  readonly events: Events;
  readonly open: (client: StreamClient) => CodecSession;
  /** Called when the codec cannot continue the stream. */
  readonly ended: (reason: string) => void;
}

export class Stream implements StreamClient, Disposable {
  readonly id: number;
  readonly #input: StreamQueue;
  readonly #output: StreamQueue;
  readonly #events: Events;
  readonly #session: CodecSession;
  readonly #ended: (reason: string) => void;
  readonly #drain = new Drain();
  readonly #change = new ParameterChange();
  #failed = false;
  #paused = false;

  /** Throws SysError when the codec cannot open one more session. */
  constructor(options: StreamOptions) {
    this.id = options.id;
    this.#input = new StreamQueue(options.id, options.inMemoryType);
    this.#output = new StreamQueue(options.id, options.outMemoryType);
    this.#events = options.events;
    this.#ended = options.ended;
    this.#session = options.open(this);
  }

  queue(queue: QueueType): StreamQueue {
    return queue === INPUT ? this.#input : this.#output;
  }

  /** Runs a step of the codec. If it fails the stream ends, not the device. */
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

  params(queue: QueueType): QueueParams {
    return this.#session.params(queue);
  }

  /** Call this when the driver has read the parameters: buffers of OUTPUT may be used from now on. */
  parametersRead(queue: QueueType): void {
    if (queue !== OUTPUT || !this.#change.read()) return;
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

  addResource(queue: QueueType, resource: Resource): void {
    if (this.queue(queue).add(resource)) this.#session.forgetPlaces(queue);
  }

  /** The resource of a RESOURCE_QUEUE. Throws VideoError unless it may be queued now. */
  queueable(queue: QueueType, id: number): Resource {
    const resource = this.queue(queue).resource(id);
    if (resource.queued)
      throw new VideoError("ERR_INVALID_OPERATION", "the resource is queued already");
    if (queue === INPUT && this.#drain.held)
      throw new VideoError("ERR_INVALID_OPERATION", "the stream is being drained");
    return resource;
  }

  /** Queues a resource; `request` is answered when the codec is done with the buffer. */
  queueResource(queue: QueueType, resource: Resource, request: Request): void {
    const to = this.queue(queue);
    resource.request = request;
    if (this.#failed || resource.gone) {
      to.giveBack(resource, BUFFER_ERR);
      return;
    }
    if (queue === INPUT && resource.size === 0) {
      to.giveBack(resource, 0); // V4L2 takes "0 bytes" for "all of it"
      return;
    }
    to.push(resource);
    if (queue === OUTPUT) {
      this.#change.bufferQueued();
      this.#sendChangeEos();
    }
    this.#pump();
  }

  drain(request: Request): void {
    if (this.#failed) throw new VideoError("ERR_INVALID_OPERATION", "the stream has failed");
    if (this.#drain.held)
      throw new VideoError("ERR_INVALID_OPERATION", "the stream is being drained");
    this.#drain.begin(request);
    this.#pump();
  }

  /** Returns every queued buffer of a queue. */
  clear(queue: QueueType): void {
    this.#step(() => this.#session.clear(queue));
    this.queue(queue).giveAllBack();
    if (queue === INPUT) this.#cancelDrain();
    else this.#change.oldBuffersGone();
    this.#pump();
  }

  destroyResources(queue: QueueType): void {
    this.#step(() => this.#session.clear(queue));
    this.queue(queue).giveAllBack();
    this.queue(queue).forget();
    this.#step(() => this.#session.release(queue));
    if (queue === OUTPUT) this.#change.oldBuffersGone();
    this.#pump();
  }

  /** Ends the stream: answers all commands it holds. */
  destroy(): void {
    this.#session[Symbol.dispose]();
    this.#failed = true;
    for (const queue of [this.#input, this.#output]) queue.giveAllBack();
    this.#cancelDrain();
    this.#events.drop(this.id);
    for (const queue of [this.#input, this.#output]) queue.forget();
  }

  /** From its return until `resume` nothing is written to a resource. It may wait for the codec until `lateMs`. */
  pause(lateMs: number): void {
    this.#paused = true;
    this.#step(() => this.#session.pause(lateMs));
  }

  resume(): void {
    this.#paused = false;
    this.#step(() => this.#session.resume());
    this.#sendChangeEos();
    this.#finishDrain(); // before the codec takes the buffer that EOS needs
    this.#pump();
  }

  /**
   * Looks every resource up in a new memory table. What lost its memory while it waits is returned with an error. It may wait
   * for the codec until `lateMs`.
   */
  memoryChanged(memory: GuestMemory, lateMs: number): void {
    for (const type of [INPUT, OUTPUT] as const) {
      const queue = this.queue(type);
      using old = new DisposableStack(); // the hardware has the old addresses
      const moved = queue.lookUp(memory, old);
      this.#step(() => this.#session.forgetPlaces(type, moved ? { lateMs } : undefined));
      queue.giveGoneBack();
    }
    this.#pump();
  }

  // What the codec calls: StreamClient.

  get draining(): boolean {
    return this.#drain.pending;
  }

  get inputsWaiting(): number {
    return this.#input.waiting.length;
  }

  takeInput(): Resource | undefined {
    return this.#input.waiting.shift();
  }

  inputDone(resource: Resource, failed: boolean): void {
    this.#input.giveBack(resource, failed ? BUFFER_ERR : 0);
  }

  get outputsWaiting(): number {
    return this.#change.holdsPictures || this.#paused ? 0 : this.#output.waiting.length;
  }

  takeOutput(bytes: number): Resource | undefined {
    return this.outputsWaiting > 0 ? this.#output.take(bytes) : undefined;
  }

  returnOutput(resource: Resource): void {
    if (resource.queued) this.#output.putBack(resource);
  }

  resources(queue: QueueType): readonly Resource[] {
    return [...this.queue(queue).resources.values()];
  }

  wake(): void {
    this.#sendChangeEos();
    this.#pump();
  }

  outputDone(resource: Resource, timestamp: bigint, size: number, failed: boolean): void {
    this.#output.answer(resource, timestamp, failed ? BUFFER_ERR : 0, failed ? 0 : size);
  }

  drained(): void {
    this.#drain.drained();
    this.#finishDrain();
  }

  headerRead(before: QueueParams, midStream: boolean): void {
    const changed = !Bun.deepEquals(this.#session.params(OUTPUT), before);
    const waiting = this.#output.waiting.length > 0;
    if (!this.#change.begin({ changed, midStream, waiting })) return;
    this.#events.send(EVENT_RESOLUTION_CHANGED, this.id, () => this.#change.eventSent());
  }

  failed(reason: string): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#ended(reason);
    this.#session[Symbol.dispose]();
    for (const queue of [this.#input, this.#output]) queue.giveAllBack();
    this.#cancelDrain();
    this.#events.send(EVENT_ERROR, this.id);
  }

  // Answers.

  #cancelDrain(): void {
    this.#drain.end(this.id, response.ERR_INVALID_OPERATION);
  }

  /** Ends the pictures of the old size with an empty EOS buffer, once the driver has read the new parameters. */
  #sendChangeEos(): void {
    if (this.#paused || !this.#change.eosDue) return;
    const resource = this.#output.waiting.shift();
    if (resource === undefined) return;
    this.#change.eosSent();
    this.#output.giveBack(resource, BUFFER_EOS);
  }

  /** After the last picture: one more, empty, buffer carries EOS, because drivers empty it. Then the drain is answered. */
  #finishDrain(): void {
    if (!this.#drain.due || this.#change.holdsEos) return;
    if (this.#output.resources.size > 0) {
      if (this.outputsWaiting === 0) return;
      const resource = this.#output.waiting.shift();
      if (resource === undefined) return;
      this.#output.giveBack(resource, BUFFER_EOS);
    }
    this.#drain.end(this.id, response.OK_NODATA);
  }

  /** Closes the codec without answers: the driver is gone. */
  [Symbol.dispose](): void {
    this.#failed = true;
    this.#session[Symbol.dispose]();
    for (const queue of [this.#input, this.#output]) queue.forget();
  }
}
