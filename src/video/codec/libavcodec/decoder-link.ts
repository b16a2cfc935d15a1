// What the daemon has sent to the process of a decoder, and what it has got from there. The process is not trusted: each message
// must be an answer to something that was sent.
import { log } from "../../../cli/log.ts";
import type { Plane } from "../../resource.ts";
import { type Arrival, Arrivals } from "./arrivals.ts";
import type { DecoderRecord } from "./channel.ts";
import {
  type DecoderLimits,
  DecoderProcess,
  type DecoderStart,
  type ProcessOwner,
} from "./decoder-process.ts";
import { BITSTREAM_SLOTS, FRAMES, messages } from "./messages.ts";
import { PictureSlots } from "./picture-slots.ts";

/** Timestamps that are remembered; far more than bitstream buffers whose pictures can be outstanding. */
const STAMPS = 1024;

/** The session, for its link. */
export interface LinkOwner {
  /** Something has arrived, or a slot of bitstream is free. */
  wake(): void;
  /** Called once when the process can do no more. */
  ended(reason: string): void;
}

export class DecoderLink implements ProcessOwner, Disposable {
  readonly arrivals = new Arrivals();
  readonly #owner: LinkOwner;
  readonly #limits: DecoderLimits;
  readonly #process: DecoderProcess;
  readonly #pictures = new PictureSlots();
  /** Whether each slot of bitstream is with the process, and how many are. */
  readonly #busy = new Array<boolean>(BITSTREAM_SLOTS).fill(false);
  #inputs = 0;
  readonly #stamps = new BigUint64Array(STAMPS);
  #key = 0;
  /** How often the process announced a size. It voids all grants. */
  #epoch = 0;
  /** Sizes that the process may still announce: one for each picture and each flush. */
  #announcements = 1;
  /** Decoders and drains that were asked for and not answered. */
  #opening = 0;
  #drains = 0;
  #openedMs = 0;
  /** Bitstream was sent since the last flush or drain. */
  #fed = false;
  /** A drain is under way: the guest has not got its last picture. */
  draining = false;

  /** Starts the process, now or when the gate allows it. Throws SysError, or what the runtime throws. */
  constructor(start: DecoderStart, owner: LinkOwner) {
    this.#owner = owner;
    this.#limits = start.limits;
    this.#openedMs = performance.now();
    this.#process = new DecoderProcess(start, this);
  }

  get pid(): number {
    return this.#process.pid;
  }
  /** Most bytes of bitstream in a message. */
  get bitstreamBytes(): number {
    return this.#process.bitstreamBytes;
  }
  /** Pictures that are in slots or may be written there. */
  get pictures(): number {
    return this.#pictures.granted + this.#pictures.full;
  }
  get granted(): number {
    return this.#pictures.granted;
  }
  /** Whether the decoder has bitstream whose pictures have not been drained. */
  get fed(): boolean {
    return this.#fed;
  }

  // What is sent. Messages leave with `send`.

  open(coded: number): void {
    if (this.#opening === 0 && this.#key > 0) this.#openedMs = performance.now();
    this.#opening += 1;
    const message = this.#process.channel.post(messages.open.type);
    message.format = coded;
    message.threads = this.#limits.threads;
    message.max_pixels = this.#limits.maxPixels;
  }

  /** A free slot of bitstream; -1 when there is none. */
  freeSlot(): number {
    return this.#busy.indexOf(false);
  }

  /** The address of a slot of bitstream. */
  bitstreamAt(slot: number): number {
    return this.#process.bitstreamAt(slot);
  }

  /** Sends the bitstream that was copied to a free slot. */
  input(slot: number, length: number, timestamp: bigint): void {
    this.#key += 1;
    this.#stamps[this.#key % STAMPS] = timestamp;
    this.#busy[slot] = true;
    this.#inputs += 1;
    this.#fed = true;
    const message = this.#process.channel.post(messages.input.type);
    message.slot = slot;
    message.length = length;
    message.key = this.#key;
  }

  /** Lets the process write one more picture. False when no slot is free. */
  grant(format: number): boolean {
    const slot = this.#pictures.grant();
    if (slot < 0) return false;
    const message = this.#process.channel.post(messages.grant.type);
    message.slot = slot;
    message.format = format;
    message.epoch = this.#epoch;
    return true;
  }

  drain(): void {
    this.#fed = false;
    this.draining = true;
    this.#drains += 1;
    this.#process.channel.post(messages.drain.type);
  }

  /** Drops bitstream, pictures and a drain. */
  flush(): void {
    for (let next = this.arrivals.next; next !== undefined; next = this.arrivals.next) {
      if (next.kind === "picture") this.#pictures.free(next.slot);
      this.arrivals.shift();
    }
    if (!this.#fed && !this.draining) return;
    this.#fed = false;
    this.draining = false;
    this.#announcements += 1;
    const { channel } = this.#process;
    channel.generation += 1;
    channel.post(messages.flush.type);
  }

  send(): void {
    this.#process.send();
  }

  /** Whether messages of the process are read. While they are not, it continues and nothing is lost. */
  listen(on: boolean): void {
    this.#process.listen(on);
  }

  // What has arrived.

  /** The address of a plane of a picture that has arrived; `plane` is its place in a slot. 0: it is not inside of its frame. */
  planeAt({ slot, frame, planes }: Arrival, index: number, plane: Plane): number {
    if (frame === 0) return this.#process.pictureAt(slot) + plane.offset;
    const from = planes[index] ?? 0;
    const inside = from + plane.length <= this.#process.frameBytes;
    return inside ? this.#process.frameAt(frame - 1) + from : 0;
  }

  /** The guest's timestamp of the bitstream that was sent with `key`. */
  stamp(key: number): bigint {
    return this.#stamps[key % STAMPS] ?? 0n;
  }

  /** The picture in the slot was copied. */
  pictureTaken(slot: number): void {
    this.#pictures.free(slot);
  }

  // Messages of the process.

  heard(message: DecoderRecord): string | undefined {
    const { type, slot } = message;
    const current = message.generation === this.#process.channel.generation;
    switch (type) {
      case messages.ready.type:
        return this.#heardReady();
      case messages.inputDone.type:
        if (this.#busy[slot] !== true) return `it has read slot ${slot}, which it does not have`;
        this.#busy[slot] = false;
        this.#inputs -= 1;
        return undefined;
      case messages.changed.type:
        return this.#heardSize(message.width, message.height, current);
      case messages.picture.type:
        if (!this.#pictures.fill(slot)) return `it wrote to slot ${slot}, which it does not have`;
        if (message.frame > FRAMES) return `it has no frame ${message.frame}`;
        this.#announcements += 1;
        if (current) this.#arrived(message);
        else this.#pictures.free(slot);
        return undefined;
      case messages.drained.type:
        if (this.#drains === 0) return "it ended a drain that was not asked for";
        this.#drains -= 1;
        if (current && this.draining) this.arrivals.add("drained");
        return undefined;
      default:
        return `it sent a message of type ${type}`;
    }
  }

  #heardReady(): string | undefined {
    if (this.#opening === 0) return "it opened a decoder that was not asked for";
    this.#opening -= 1;
    const ms = (performance.now() - this.#openedMs).toFixed(0);
    log.withTag("video").debug(`the decoder's process (${this.pid}) is ready after ${ms} ms`);
    return undefined;
  }

  #heardSize(width: number, height: number, current: boolean): string | undefined {
    if (this.#announcements === 0) return "it announced too many sizes";
    if (width < 1 || height < 1 || width * height > this.#limits.maxPixels)
      return `it announced pictures of ${width}x${height}`;
    this.#announcements -= 1;
    this.#epoch += 1;
    this.#pictures.revoke();
    if (!current) return undefined;
    const arrival = this.arrivals.add("size");
    arrival.width = width;
    arrival.height = height;
    return undefined;
  }

  #arrived(message: DecoderRecord): void {
    const arrival = this.arrivals.add("picture");
    arrival.slot = message.slot;
    arrival.key = message.key;
    arrival.frame = message.frame;
    arrival.planes[0] = message["plane[0]"];
    arrival.planes[1] = message["plane[1]"];
    arrival.planes[2] = message["plane[2]"];
  }

  heardAll(): void {
    this.#owner.wake();
  }

  ended(reason: string): void {
    this.#owner.ended(reason);
  }

  work(): "none" | "starting" | "blocked" | "ready" {
    if (this.#opening > 0) return "starting";
    if (this.#inputs + this.#drains === 0) return "none";
    return this.#epoch > 0 && this.#pictures.granted === 0 ? "blocked" : "ready";
  }

  /** Kills the process. */
  [Symbol.dispose](): void {
    this.#process[Symbol.dispose]();
  }
}
