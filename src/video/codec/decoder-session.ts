// One stream on a V4L2 stateful decoder: bitstream in, pictures out, source changes, drains and seeks, as
// dev-decoder.rst has them. Everything happens in `pump`, after a command or when the descriptor has something.

import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI } from "../../../ffi/epoll.ts";
import { errno, SysError } from "../../../ffi/errno.ts";
import * as v from "../../../ffi/linux/videodev2.ts";
import { log } from "../../cli/log.ts";
import type { Watch } from "../../loop.ts";
import type { VideoDevice } from "../../v4l2/device.ts";
import type { DeviceLoop } from "../../virtio/virtio-device.ts";
import { INPUT, OUTPUT, type QueueType } from "../structs.ts";
import { BitstreamQueue } from "./bitstream-queue.ts";
import type { CodecSession, ParamsWish, QueueParams, StreamClient } from "./codec.ts";
import type { DecoderDevice } from "./decoder-device.ts";
import { DecoderParams } from "./decoder-params.ts";
import { readControl, writeControl } from "./m2m-controls.ts";
import { PictureQueue } from "./picture-queue.ts";

export interface SessionOptions {
  readonly loop: DeviceLoop;
  readonly device: VideoDevice;
  readonly decoder: DecoderDevice;
  readonly format: number;
  readonly client: StreamClient;
}

/** Where a drain is: DECODER_CMD STOP not given, given, or everything is out. */
type Drain = "none" | "stopping" | "stopped";

export class DecoderSession implements CodecSession {
  readonly #device: VideoDevice;
  readonly #client: StreamClient;
  readonly #format: number;
  readonly #params: DecoderParams;
  readonly #bitstream: BitstreamQueue;
  readonly #pictures: PictureQueue;
  readonly #watch: Watch;
  readonly #event = v.v4l2Event.alloc();
  readonly #command = v.v4l2DecoderCmd.alloc();
  /** The decoder has seen what the stream's pictures are like, and the driver has been told. */
  #known = false;
  /** The decoder has announced other pictures; the old ones are still coming out. */
  #changing = false;
  #drain: Drain = "none";
  #paused = false;
  #disposed = false;

  /** Takes over `device`. Throws SysError, having let go of nothing. */
  constructor({ loop, device, decoder, format, client }: SessionOptions) {
    this.#device = device;
    this.#client = client;
    this.#format = format;
    this.#params = new DecoderParams(device, decoder, format);
    this.#bitstream = new BitstreamQueue(device, decoder.api.bitstream, client);
    this.#pictures = new PictureQueue(device, decoder.api.pictures, client, this.#params);
    // Before the first STREAMON, or the first event is lost.
    const wish = v.v4l2EventSubscription.alloc();
    wish.type = v.V4L2_EVENT_SOURCE_CHANGE;
    const r = device.ioctl(v.VIDIOC_SUBSCRIBE_EVENT, wish);
    if (r < 0) throw new SysError("VIDIOC_SUBSCRIBE_EVENT", device.path, -r);
    this.#watch = loop.watch(device.fd, EPOLLPRI, (events) => this.#woken(events));
  }

  params(queue: QueueType): QueueParams {
    return this.#params.tell(queue);
  }

  configure(queue: QueueType, wish: ParamsWish): void {
    const buffers = queue === INPUT ? this.#bitstream : this.#pictures;
    // Drivers refuse a format while there are buffers, and guests set the same one again and again.
    if (buffers.allocated && (buffers.busy || this.#params.asksForSame(queue, wish))) return;
    buffers.release();
    if (queue === INPUT) this.#params.setBitstream(wish);
    else this.#params.setPictures(this.#known ? { ...wish, width: 0, height: 0 } : wish);
  }

  control(number: number): number | undefined {
    return this.#disposed ? undefined : readControl(this.#device, number, this.#format);
  }

  setControl(number: number, value: number): boolean {
    return !this.#disposed && writeControl(this.#device, number, this.#format, value);
  }

  zeroCopy(queue: QueueType): boolean {
    return (queue === INPUT ? this.#bitstream : this.#pictures).zeroCopy;
  }

  forgetPlaces(queue: QueueType): void {
    (queue === INPUT ? this.#bitstream : this.#pictures).forgetPlaces();
  }

  pump(): void {
    if (this.#disposed || this.#paused) return;
    this.#feed();
    this.#bringOut();
    this.#proceedDrain();
    this.#listen();
  }

  /** Bitstream to the decoder, which goes on by itself after a drain. */
  #feed(): void {
    if (this.#client.inputsWaiting === 0) return;
    if (this.#drain === "stopped") this.#goOn();
    const fresh = !this.#bitstream.streaming;
    this.#bitstream.feed(this.#params.bitstream);
    // Some decoders parse on STREAMON and QBUF themselves: know it before the picture queue starts.
    if (fresh || !this.#known) this.#takeEvents();
  }

  /** Pictures from the decoder into the driver's buffers; ends of a drain or of a resolution are met here. */
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
   * Never before the bitstream: a decoder that sees a header while only pictures stream announces them anew and may go
   * back to its favourite format without another word.
   */
  #startPictures(): void {
    if (!this.#known || this.#changing || !this.#bitstream.streaming) return;
    if (!this.#pictures.streaming && this.#client.outputsWaiting > 0) this.#pictures.start();
  }

  /** The old pictures are all out: the new ones need buffers of their own. */
  #announceChange(): void {
    this.#changing = false;
    this.#pictures.release();
    if (this.#drain === "stopping") this.#drain = "none"; // STREAMOFF ended it: it is asked for again
    const before = this.#params.tell(OUTPUT);
    this.#params.refresh();
    if (this.#params.sameAs(before)) return;
    this.#client.resolutionChanged(true);
  }

  #proceedDrain(): void {
    if (!this.#client.draining || this.#client.inputsWaiting > 0) return;
    if (this.#drain !== "none" || this.#changing) return;
    if (this.#bitstream.streaming && this.#pictures.streaming) {
      this.#sendCommand(v.V4L2_DEC_CMD_STOP);
      this.#drain = "stopping";
      return;
    }
    if (this.#bitstream.queued > 0 || this.#pictures.waiting > 0) return;
    // Nothing is with the decoder. What is known by now waits for buffers; without a header nothing will come.
    if (this.#known && this.#bitstream.streaming && !this.#pictures.streaming) return;
    if (!this.#known && this.#takeEvents()) return;
    this.#client.drained();
  }

  /** After a drain: START, and where that is not enough (the queue still says "last"), the picture queue anew. */
  #goOn(): void {
    this.#drain = "none";
    this.#sendCommand(v.V4L2_DEC_CMD_START);
    this.#pictures.goOn();
  }

  #sendCommand(cmd: number): void {
    this.#command.$bytes.fill(0);
    this.#command.cmd = cmd;
    const r = this.#device.ioctl(v.VIDIOC_DECODER_CMD, this.#command);
    if (r < 0 && cmd === v.V4L2_DEC_CMD_STOP && r !== -errno.EBUSY)
      throw new SysError("VIDIOC_DECODER_CMD", this.#device.path, -r);
  }

  /** Takes what the decoder has announced; true when that was other pictures. */
  #takeEvents(): boolean {
    let changed = false;
    while (this.#device.ioctl(v.VIDIOC_DQEVENT, this.#event) >= 0) {
      if (this.#event.type !== v.V4L2_EVENT_SOURCE_CHANGE) continue;
      if ((this.#event["u.src_change.changes"] & v.V4L2_EVENT_SRC_CH_RESOLUTION) !== 0)
        changed = true;
    }
    if (!changed) return false;
    if (this.#pictures.streaming) {
      this.#changing = true; // the last of the old pictures will say so
      return true;
    }
    const before = this.#params.tell(OUTPUT);
    const first = !this.#known;
    this.#known = true;
    this.#pictures.release(); // with buffers there is no going back to the format that was agreed
    this.#params.refresh();
    if (first || !this.#params.sameAs(before)) this.#client.resolutionChanged(!first);
    return true;
  }

  #woken(events: number): void {
    if (this.#disposed || this.#paused) return;
    try {
      if ((events & EPOLLHUP) !== 0) throw new SysError("poll", this.#device.path, errno.ENODEV);
      if ((events & EPOLLPRI) !== 0) this.#takeEvents();
      if ((events & (EPOLLOUT | EPOLLERR)) !== 0) this.#bitstream.collect();
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      this.#client.failed(error.message);
      return;
    }
    this.#client.wake();
    // An error that nothing came of would be reported again at once: wait for the next command.
    if (events === EPOLLERR && !this.#disposed) this.#watch.setEvents(EPOLLPRI);
  }

  /** Asks for what can come: polling an idle queue of this kind answers with an error without end. */
  #listen(): void {
    let events = EPOLLPRI;
    if (this.#bitstream.streaming && this.#bitstream.queued > 0) events |= EPOLLOUT;
    if (this.#pictures.streaming && this.#pictures.queued > 0 && !this.#pictures.sawLast)
      events |= EPOLLIN;
    this.#watch.setEvents(events);
  }

  clear(queue: QueueType): void {
    if (this.#disposed) return;
    if (queue === INPUT) this.#bitstream.stop();
    // A seek drops pictures, too: both queues have to start anew, bitstream first.
    const wasChanging = this.#changing;
    this.#pictures.stop();
    this.#drain = "none"; // STREAMOFF of pictures ends a drain: it is asked for again
    if (wasChanging) this.#announceChange();
  }

  release(queue: QueueType): void {
    if (this.#disposed) return;
    if (queue === INPUT) this.#bitstream.release();
    else this.#pictures.release();
  }

  pause(): void {
    this.#paused = true;
    if (!this.#disposed) this.#watch.setEvents(0);
  }

  resume(): void {
    this.#paused = false;
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
    this.#watch[Symbol.dispose]();
    this.#bitstream[Symbol.dispose]();
    this.#pictures[Symbol.dispose]();
    this.#device[Symbol.dispose]();
  }
}
