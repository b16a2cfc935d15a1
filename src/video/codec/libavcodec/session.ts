// One stream on libavcodec: bitstream goes to the process of its decoder, pictures come from there, each with one copy. `pump` does
// the work: after a command, and when the process has answered. Nothing here waits for the process.
import { log } from "../../../cli/log.ts";
import type { Resource } from "../../resource.ts";
import { INPUT, OUTPUT, type QueueType } from "../../structs.ts";
import type { CodecSession, FrameSizes, ParamsWish, QueueParams, StreamClient } from "../codec.ts";
import { gatherBitstream } from "../resource-copies.ts";
import type { Arrival } from "./arrivals.ts";
import { DecoderLink, type LinkOwner } from "./decoder-link.ts";
import type { DecoderStart } from "./decoder-process.ts";
import { SessionParams } from "./session-params.ts";

export interface SessionOptions {
  readonly start: DecoderStart;
  readonly sizes: FrameSizes;
  /** The coded format, and the picture format until the guest names one: virtio-video numbers. */
  readonly coded: number;
  readonly raw: number;
  readonly client: StreamClient;
}

export class LibavcodecSession implements CodecSession, LinkOwner {
  readonly #client: StreamClient;
  readonly #link: DecoderLink;
  readonly #params: SessionParams;
  /** The decoder for the coded format is still to be opened. */
  #openDue = false;
  #paused = false;
  #disposed = false;
  #pictures = 0;

  /** Starts the process of the decoder. Throws SysError, or what the runtime throws. */
  constructor({ start, sizes, coded, raw, client }: SessionOptions) {
    this.#client = client;
    this.#link = new DecoderLink(start, this);
    const { bitstreamBytes } = this.#link;
    this.#params = new SessionParams({ sizes, bitstreamBytes }, coded, raw);
    this.#link.open(coded);
    this.#link.send();
  }

  params(queue: QueueType): QueueParams {
    return this.#params.of(queue);
  }

  configure(queue: QueueType, wish: ParamsWish): void {
    const params = this.#params;
    if (queue === INPUT && wish.format !== 0 && wish.format !== params.coded) {
      params.coded = wish.format;
      this.#openDue = true;
      if (!this.#disposed) this.#link.flush();
    }
    // Pictures that were made, or may be made, are in the present format.
    const fixed = this.#link.pictures > 0;
    if (queue === OUTPUT && wish.format !== 0 && !fixed) params.raw = wish.format;
    params.wish(queue, wish);
  }

  control(): undefined {
    return undefined;
  }

  setControl(): boolean {
    return false;
  }

  forgetPlaces(): void {} // addresses are looked up for each copy

  pump(): void {
    if (this.#disposed || this.#paused) return;
    this.#feed();
    this.#deliver();
    this.#grant();
    this.#drain();
    if (!this.#disposed) this.#link.send();
  }

  /** Copies bitstream to the process while it has slots for it. */
  #feed(): void {
    while (this.#client.inputsWaiting > 0) {
      const slot = this.#link.freeSlot();
      if (slot < 0) return;
      const resource = this.#client.takeInput();
      if (resource === undefined) return;
      const { size } = resource;
      const fits = size <= this.#link.bitstreamBytes;
      const copied = fits && gatherBitstream(resource, this.#link.bitstreamAt(slot));
      if (copied) {
        if (this.#openDue) this.#link.open(this.#params.coded);
        this.#openDue = false;
        this.#link.input(slot, size, resource.timestamp);
      }
      this.#client.inputDone(resource, !copied);
    }
  }

  /** Gives the guest what has arrived, in order, as far as it has buffers for pictures. */
  #deliver(): void {
    const { arrivals } = this.#link;
    for (let next = arrivals.next; next !== undefined; next = arrivals.next) {
      if (next.kind === "picture" && !this.#deliverPicture(next)) return;
      arrivals.shift();
      if (next.kind === "size") this.#announce(next);
      if (next.kind === "drained") {
        this.#link.draining = false;
        if (this.#client.draining) this.#client.drained();
      }
    }
  }

  /** False when there is no buffer for it. */
  #deliverPicture(arrival: Arrival): boolean {
    const { bytes } = this.#params.layout;
    const resource = this.#client.takeOutput(bytes);
    if (resource === undefined) return false;
    const written = this.#write(resource, arrival);
    this.#link.pictureTaken(arrival.slot);
    this.#pictures += 1;
    this.#client.outputDone(resource, this.#link.stamp(arrival.key), bytes, !written);
    return true;
  }

  /** Copies a picture into a buffer of the guest. False when it has no room or memory. */
  #write(resource: Resource, arrival: Arrival): boolean {
    const { planes } = this.#params.layout;
    const places = resource.places(planes);
    for (let i = 0; i < planes.length; i++) {
      const plane = planes[i];
      if (plane === undefined) return false;
      const from = this.#link.planeAt(arrival, i, plane);
      if (from === 0 || !resource.write(from, plane.length, places[i] ?? 0)) return false;
    }
    return true;
  }

  #announce({ width, height }: Arrival): void {
    const params = this.#params;
    const midStream = params.known;
    if (midStream && params.isSize(width, height)) return;
    const before = params.of(OUTPUT);
    params.setSize(width, height);
    this.#client.headerRead(before, midStream);
  }

  /** Lets the process write as many pictures as the guest has buffers for. */
  #grant(): void {
    const link = this.#link;
    if (!this.#params.known || link.arrivals.count > 0) return;
    while (link.granted < this.#client.outputsWaiting && link.grant(this.#params.raw));
  }

  #drain(): void {
    const { draining, inputsWaiting } = this.#client;
    if (!draining || inputsWaiting > 0 || this.#link.draining) return;
    if (this.#link.fed) this.#link.drain();
    else this.#client.drained();
  }

  clear(queue: QueueType): void {
    // Pictures stay when only their buffers are taken back: guests do that after each event for a new size.
    if (this.#disposed || queue === OUTPUT) return;
    this.#link.flush();
    this.#link.send();
  }

  release(): void {} // no buffer is kept

  pause(): void {
    this.#paused = true;
    this.#link.listen(false);
  }

  resume(): void {
    this.#paused = false;
    this.#link.listen(true);
  }

  wake(): void {
    this.#client.wake();
  }

  ended(reason: string): void {
    this.#client.failed(reason);
  }

  /** Kills the process. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    const { pid } = this.#link;
    log.withTag("video").debug(`the decoder's process (${pid}): ${this.#pictures} pictures`);
    this.#link[Symbol.dispose]();
  }
}
