// One queue of a stream: the resources the driver made, and those it queued, in order.
import type { GuestMemory } from "../virtio/virtio-device.ts";
import { answerQueued } from "./replies.ts";
import type { Resource } from "./resource.ts";
import { BUFFER_ERR, VideoError } from "./structs.ts";

/** Resources a queue may have. */
export const MAX_RESOURCES = 64;

export class StreamQueue {
  memoryType: number;
  /** By id, in the order they were queued: when all are returned, the oldest is first. */
  readonly resources = new Map<number, Resource>();
  /** Queued by the driver and not with the codec, oldest first. */
  readonly waiting: Resource[] = [];
  readonly #stream: number;
  #ranges = 0;
  #turn = 0;

  constructor(stream: number, memoryType: number) {
    this.#stream = stream;
    this.memoryType = memoryType;
  }

  /** Ranges of memory that its resources have. */
  get ranges(): number {
    return this.#ranges;
  }

  /** The resource that a new one of that number replaces. Throws VideoError unless it may be created, or replaced. */
  checkNew(id: number): Resource | undefined {
    const { resources } = this;
    const known = resources.get(id);
    if (known?.queued)
      throw new VideoError("ERR_INVALID_RESOURCE_ID", "the resource of that number is queued");
    if (known === undefined && resources.size >= MAX_RESOURCES)
      throw new VideoError(
        "ERR_OUT_OF_MEMORY",
        `the queue has ${MAX_RESOURCES} resources, as many as are possible`,
      );
    return known;
  }

  /** Adds a resource. True when it replaces one whose memory was one stretch: that address may become one of other memory. */
  add(resource: Resource): boolean {
    const replaced = this.resources.get(resource.id);
    this.#ranges += resource.ranges - (replaced?.ranges ?? 0);
    const undone = replaced?.release() ?? false;
    replaced?.drop();
    this.resources.set(resource.id, resource);
    return undone;
  }

  /** Forgets all resources. */
  forget(): void {
    for (const resource of this.resources.values()) resource.drop();
    this.resources.clear();
    this.#ranges = 0;
  }

  /** The resource of that number. Throws VideoError. */
  resource(id: number): Resource {
    const resource = this.resources.get(id);
    if (resource === undefined)
      throw new VideoError("ERR_INVALID_RESOURCE_ID", "there is no resource of that number");
    return resource;
  }

  /** Appends a resource that the driver queued. */
  push(resource: Resource): void {
    this.resources.delete(resource.id);
    this.resources.set(resource.id, resource);
    resource.turn = ++this.#turn;
    this.waiting.push(resource);
  }

  /** A queued resource waits again, in the order in which the driver queued them. */
  putBack(resource: Resource): void {
    const later = this.waiting.findIndex(({ turn }) => turn > resource.turn);
    this.waiting.splice(later < 0 ? this.waiting.length : later, 0, resource);
  }

  /** The oldest that waits and has room for a picture of `bytes`. Smaller ones before it are returned with the ERR flag. */
  take(bytes: number): Resource | undefined {
    for (let resource = this.waiting.shift(); resource; resource = this.waiting.shift()) {
      if (resource.room >= bytes) return resource;
      this.giveBack(resource, BUFFER_ERR);
    }
    return undefined;
  }

  /** Answers the RESOURCE_QUEUE of a resource: `flags` are BUFFER_*, `size` is bytes in the buffer. */
  answer(resource: Resource, timestamp: bigint, flags: number, size: number): void {
    const { request } = resource;
    if (request === undefined) return;
    resource.request = undefined;
    answerQueued(request, this.#stream, timestamp, flags, size);
  }

  /** Answers it without a picture in the buffer. */
  giveBack(resource: Resource, flags: number): void {
    this.answer(resource, resource.timestamp, flags, 0);
  }

  /** Returns everything that is queued, with the ERR flag. */
  giveAllBack(): void {
    this.waiting.length = 0;
    for (const resource of this.resources.values()) this.giveBack(resource, BUFFER_ERR);
  }

  /** Returns what waits and has no memory any more, with the ERR flag. */
  giveGoneBack(): void {
    for (const resource of this.waiting.filter(({ gone }) => gone)) {
      this.waiting.splice(this.waiting.indexOf(resource), 1);
      this.giveBack(resource, BUFFER_ERR);
    }
  }

  /**
   * Looks every resource up in a new memory table. True when the host memory of one has changed. Their old stretches go to
   * `old`.
   */
  lookUp(memory: GuestMemory, old: DisposableStack): boolean {
    let moved = false;
    for (const resource of this.resources.values()) moved = resource.resolve(memory, old) || moved;
    return moved;
  }
}
