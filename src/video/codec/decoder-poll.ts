// The descriptor of a V4L2 decoder: which events to wait for, and what each means.
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI } from "../../../ffi/epoll.ts";
import { errno, SysError } from "../../../ffi/errno.ts";
import type { Watch } from "../../loop.ts";
import type { AwaitedDevice } from "../../v4l2/device.ts";
import type { DeviceLoop } from "../../virtio/virtio-device.ts";
import type { BitstreamQueue } from "./bitstream-queue.ts";
import type { PictureQueue } from "./picture-queue.ts";

/** What is watched. */
interface Watched {
  readonly loop: DeviceLoop;
  readonly device: AwaitedDevice;
  readonly bitstream: BitstreamQueue;
  readonly pictures: PictureQueue;
}

/** Called when the descriptor is ready. */
interface PollCalls {
  /** The decoder has events. May throw SysError. */
  readonly event: () => void;
  /** Something can be done now. */
  readonly wake: () => void;
  readonly failed: (message: string) => void;
}

export class DecoderPoll implements Disposable {
  readonly #watched: Watched;
  readonly #calls: PollCalls;
  readonly #watch: Watch;
  #paused = false;
  #disposed = false;

  constructor(watched: Watched, calls: PollCalls) {
    this.#watched = watched;
    this.#calls = calls;
    const { loop, device } = watched;
    this.#watch = loop.watch(device.fd, EPOLLPRI, (events) => this.#woken(events));
  }

  #woken(events: number): void {
    if (this.#disposed || this.#paused) return;
    const { device, bitstream } = this.#watched;
    try {
      if ((events & EPOLLHUP) !== 0) throw new SysError("poll", device.path, errno.ENODEV);
      if ((events & EPOLLPRI) !== 0) this.#calls.event();
      if ((events & (EPOLLOUT | EPOLLERR)) !== 0) bitstream.collect();
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      this.#calls.failed(error.message);
      return;
    }
    this.#calls.wake();
    // An error that no call explained would be reported again at once: wait for the next command.
    if (events === EPOLLERR && !this.#disposed) this.#watch.setEvents(EPOLLPRI);
  }

  /** Watches only queues that hold buffers: poll reports an error on an idle queue, again and again. */
  listen(): void {
    const { bitstream, pictures } = this.#watched;
    let events = EPOLLPRI;
    const { queue } = bitstream.buffers;
    if (queue.streaming && queue.queuedCount > 0) events |= EPOLLOUT;
    const { queue: shown } = pictures.buffers;
    if (shown.streaming && shown.queuedCount > 0 && !pictures.sawLast) events |= EPOLLIN;
    this.#watch.setEvents(events);
  }

  /** Nothing is called until `resume`. */
  pause(): void {
    this.#paused = true;
    this.#watch.setEvents(0);
  }

  /** Call `listen` after it. */
  resume(): void {
    this.#paused = false;
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#watch[Symbol.dispose]();
  }
}
