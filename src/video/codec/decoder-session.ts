// One stream on a V4L2 stateful decoder: bitstream in, pictures out, source changes, drains and seeks as described in
// dev-decoder.rst. `pump` does the work: after a command, and when the descriptor is ready.
import { log } from "../../cli/log.ts";
import type { DecoderDevice } from "../../v4l2/decoder-device.ts";
import type { AwaitedDevice } from "../../v4l2/device.ts";
import type { DeviceLoop } from "../../virtio/virtio-device.ts";
import type { Way } from "../stretches.ts";
import { INPUT, OUTPUT, type QueueType } from "../structs.ts";
import { BitstreamQueue } from "./bitstream-queue.ts";
import type { CodecSession, ParamsWish, QueueParams, StreamClient } from "./codec.ts";
import { readControl, writeControl } from "./decoder-controls.ts";
import { DecoderParams } from "./decoder-params.ts";
import { DecoderPoll } from "./decoder-poll.ts";
import { DecoderSignals } from "./decoder-signals.ts";
import { PictureQueue } from "./picture-queue.ts";

export interface SessionOptions {
  readonly loop: DeviceLoop;
  readonly device: AwaitedDevice;
  readonly decoder: DecoderDevice;
  /** The coded format of the stream, and the raw format until the guest names one: virtio-video numbers. */
  readonly format: number;
  readonly rawFormat: number;
  readonly client: StreamClient;
  /** How the decoder may take guest memory. */
  readonly ways: readonly Way[];
  /** Lines that all streams of the decoder have logged. */
  readonly said: Set<string>;
}

/** Longest single wait for a picture: some drivers do not report that there is nothing to wait for. */
const WAIT_MS = 20;

/** The state of a drain: DECODER_CMD STOP was not given, it was given, or the last picture has come out. */
type Drain = "none" | "stopping" | "stopped";

export class DecoderSession implements CodecSession {
  readonly #device: AwaitedDevice;
  readonly #client: StreamClient;
  readonly #format: number;
  readonly #params: DecoderParams;
  readonly #bitstream: BitstreamQueue;
  readonly #pictures: PictureQueue;
  readonly #poll: DecoderPoll;
  readonly #signals: DecoderSignals;
  /** The decoder has read the stream's header, and the guest was notified of its parameters. */
  #known = false;
  /** The decoder has announced another picture format; pictures of the old one are still coming out. */
  #changing = false;
  #drain: Drain = "none";
  #paused = false;
  #disposed = false;

  /** Takes over `device`, unless it throws SysError. */
  constructor(options: SessionOptions) {
    const { loop, device, decoder, format, rawFormat, client, ways, said } = options;
    this.#device = device;
    this.#client = client;
    this.#format = format;
    this.#params = new DecoderParams(device, decoder, { coded: format, raw: rawFormat });
    const { multiplanar } = decoder;
    const side = { device, multiplanar, client, ways, said };
    this.#bitstream = new BitstreamQueue(side);
    this.#pictures = new PictureQueue({ ...side, params: this.#params });
    this.#signals = new DecoderSignals(device);
    const [bitstream, pictures] = [this.#bitstream, this.#pictures];
    this.#poll = new DecoderPoll(
      { loop, device, bitstream, pictures },
      {
        event: () => this.#takeEvents(),
        wake: () => client.wake(),
        failed: (message) => client.failed(message),
      },
    );
  }

  params(queue: QueueType): QueueParams {
    return this.#params.of(queue);
  }

  #side(queue: QueueType): BitstreamQueue | PictureQueue {
    return queue === INPUT ? this.#bitstream : this.#pictures;
  }

  configure(queue: QueueType, wish: ParamsWish): void {
    const side = this.#side(queue);
    // A device refuses S_FMT while there are buffers, and guests often set the same format again.
    if (side.buffers.allocated && (side.busy || this.#params.asksForSame(queue, wish))) return;
    side.release();
    if (queue === INPUT) this.#params.setBitstream(wish);
    else this.#params.setPictures(this.#known ? { ...wish, width: 0, height: 0 } : wish);
  }

  control(number: number): number | undefined {
    return this.#disposed ? undefined : readControl(this.#device, number, this.#format);
  }

  setControl(number: number, value: number): boolean {
    return !this.#disposed && writeControl(this.#device, number, this.#format, value);
  }

  /**
   * Pictures that the decoder has begun are finished, and its buffers are made again. Bitstream that it has stays: it is only
   * read, and its pages are pinned. Throws SysError.
   */
  forgetPlaces(queue: QueueType, moved?: { readonly lateMs: number }): void {
    const { buffers } = this.#side(queue);
    if (this.#disposed || queue === INPUT || moved === undefined || !buffers.onGuestMemory) {
      buffers.forgetPlaces(moved !== undefined);
      return;
    }
    this.#settle();
    if (this.#pictures.writesToGuest) this.#stopWriting(moved.lateMs);
    this.#pictures.release();
  }

  pump(): void {
    if (this.#disposed || this.#paused) return;
    this.#feed();
    this.#bringOut();
    this.#proceedDrain();
    this.#poll.listen();
  }

  /** Gives bitstream to the decoder. After a drain, new bitstream starts the decoder again. */
  #feed(): void {
    if (this.#client.inputsWaiting === 0) return;
    if (this.#drain === "stopped") this.#goOn();
    const fresh = !this.#bitstream.buffers.queue.streaming;
    this.#bitstream.feed(this.#params.bitstream);
    // Some decoders parse a header inside STREAMON or QBUF: take its event before the picture queue starts.
    if (fresh || !this.#known) this.#takeEvents();
  }

  /** Moves pictures from the decoder to the guest's buffers. Handles the end of a drain and of a resolution. */
  #bringOut(): void {
    this.#startPictures();
    this.#pictures.deliver(this.#bitstream);
    if (!this.#pictures.finished || this.#drain === "stopped") return;
    if (this.#changing || this.#takeEvents()) {
      this.#announceChange();
      this.#startPictures();
    } else if (this.#drain === "stopping") {
      this.#drain = "stopped";
      if (this.#client.draining) this.#client.drained();
      else if (this.#client.inputsWaiting > 0) this.#goOn(); // the drain was cancelled
    } else this.#goOn();
  }

  /**
   * Starts the picture queue, never before the bitstream queue: a decoder that reads a header while only the picture
   * queue streams announces the format again, and may return to its default format without an event.
   */
  #startPictures(): void {
    if (!this.#known || this.#changing || !this.#bitstream.buffers.queue.streaming) return;
    if (!this.#pictures.buffers.queue.streaming && this.#client.outputsWaiting > 0)
      this.#pictures.start();
  }

  /** All pictures of the old format have come out: those of the new one need other buffers. */
  #announceChange(): void {
    this.#changing = false;
    this.#pictures.release();
    if (this.#drain === "stopping") this.#drain = "none"; // STREAMOFF ended it: STOP is sent again
    const before = this.#params.of(OUTPUT);
    this.#params.refresh();
    this.#client.headerRead(before, true);
  }

  #proceedDrain(): void {
    if (!this.#client.draining || this.#client.inputsWaiting > 0) return;
    if (this.#drain !== "none" || this.#changing) return;
    if (this.#bitstream.buffers.queue.streaming && this.#pictures.buffers.queue.streaming) {
      this.#signals.stop();
      this.#drain = "stopping";
      return;
    }
    if (this.#bitstream.buffers.queue.queuedCount > 0 || this.#pictures.waiting > 0) return;
    // The decoder holds nothing. After a header its pictures wait for buffers; without one, none will come.
    if (
      this.#known &&
      this.#bitstream.buffers.queue.streaming &&
      !this.#pictures.buffers.queue.streaming
    )
      return;
    if (!this.#known && this.#takeEvents()) return;
    this.#client.drained();
  }

  /** Continues after a drain: START, and a restart of the picture queue where it still reports the last buffer. */
  #goOn(): void {
    this.#drain = "none";
    this.#signals.start();
    this.#pictures.goOn();
  }

  /** Takes the decoder's events; true when one announced another picture format. */
  #takeEvents(): boolean {
    if (!this.#signals.takeChange()) return false;
    if (this.#pictures.buffers.queue.streaming) {
      this.#changing = true; // until the last picture of the old format, which is marked
      return true;
    }
    const before = this.#params.of(OUTPUT);
    const first = !this.#known;
    this.#known = true;
    this.#pictures.release(); // or the device refuses the format that `refresh` sets again
    this.#params.refresh();
    this.#client.headerRead(before, !first);
    return true;
  }

  clear(queue: QueueType): void {
    if (this.#disposed) return;
    if (queue === INPUT) this.#bitstream.stop();
    // A seek drops pictures, too: both queues have to start again, bitstream first.
    const wasChanging = this.#changing;
    this.#pictures.stop();
    this.#drain = "none"; // STREAMOFF of the picture queue ended it: STOP is sent again
    if (wasChanging) this.#announceChange();
  }

  release(queue: QueueType): void {
    if (this.#disposed) return;
    this.#side(queue).release();
  }

  pause(lateMs: number): void {
    const again = this.#paused;
    this.#paused = true;
    if (this.#disposed || again) return;
    this.#poll.pause();
    this.#settle();
    if (this.#pictures.writesToGuest) this.#stopWriting(lateMs);
  }

  /** Returns what the decoder has finished. Pictures in its own buffers stay there. Throws SysError. */
  #settle(): void {
    this.#bitstream.collect();
    if (this.#pictures.buffers.onGuestMemory) this.#pictures.settle(this.#bitstream);
  }

  /**
   * Stops the picture queue, whose buffers are guest memory. STREAMOFF drops the pictures that the decoder is working on, so it
   * finishes them first: as in a drain, which keeps the decoder's state (dev-decoder.rst, "Drain"). Throws SysError.
   */
  #stopWriting(lateMs: number): void {
    const pictures = this.#pictures;
    const drains = this.#drain === "stopping";
    if (this.#drain === "none" && !this.#changing && this.#bitstream.buffers.queue.streaming)
      this.#signals.stop();
    for (;;) {
      this.#settle();
      if (pictures.sawLast || !pictures.writesToGuest) break;
      const leftMs = Math.floor(lateMs - performance.now());
      if (leftMs <= 0) {
        log.withTag("video").debug(`${this.#device.path}: stopped before it had finished`);
        break;
      }
      this.#takeEvents(); // or there would be nothing to wait for
      this.#device.wait(Math.min(leftMs, WAIT_MS));
    }
    const ended = pictures.sawLast;
    const changes = this.#changing || (ended && this.#takeEvents());
    pictures.stop();
    if (this.#drain === "stopping") this.#drain = "none"; // STREAMOFF ended it: STOP is sent again
    if (changes) this.#announceChange();
    else if (ended && drains && this.#client.draining) {
      this.#drain = "stopped";
      this.#client.drained();
    }
  }

  resume(): void {
    this.#paused = false;
    this.#poll.resume();
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    const { handed: pictures, copied } = this.#pictures;
    const { handed: buffers, copied: gathered } = this.#bitstream;
    log
      .withTag("video")
      .debug(
        `${this.#device.path}: ${pictures} pictures, ${copied} copied; ${buffers} buffers of bitstream, ${gathered} copied`,
      );
    this.#poll[Symbol.dispose]();
    this.#bitstream[Symbol.dispose]();
    this.#pictures[Symbol.dispose]();
    this.#device[Symbol.dispose]();
  }
}
