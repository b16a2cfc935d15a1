// A source without a device. It fills its own buffers at a steady rate, as a camera does. When all buffers are in use,
// frames are dropped, and the sequence numbers show the gap.

import { monotonicNs } from "../../ffi/clock.ts";
import { Signal, Ticker } from "../../ffi/epoll.ts";
import { Fd } from "../../ffi/fd.ts";
import { V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC } from "../../ffi/linux/videodev2.ts";
import { UnavailableError } from "../errors.ts";
import type { Picture } from "../format/picture-layout.ts";
import { Frame } from "../frame/frame.ts";
import { type Allocator, type FrameBuffer, memfdAllocator } from "../frame/memory.ts";
import type { Source } from "../frame/source.ts";

/** Fills a buffer with picture `sequence`; returns its size in bytes. */
export type Fill = (index: number, sequence: number) => number;

export interface PacedOptions {
  readonly name: string;
  readonly picture: Picture;
  readonly buffers: number;
  /** Frames per second; 0: one at each call of `next`. */
  readonly fps: number;
  /** Frames after which the source has no more. */
  readonly count?: number | undefined;
  /** Called once with the buffers, before the first frame. */
  readonly prepare: (buffers: readonly FrameBuffer[]) => Fill;
  /** Disposed with the source. */
  readonly owned?: Disposable;
  readonly allocator?: Allocator | undefined;
}

export class PacedSource implements Source {
  readonly name: string;
  readonly picture: Picture;
  readonly fps: number | undefined;
  readonly frames: readonly Frame[];
  readonly onDemand: boolean;
  readonly memory: string;
  drops = 0;
  readonly errors = 0;
  readonly buffers: readonly FrameBuffer[];
  readonly #fill: Fill;
  readonly #owned = new DisposableStack();
  readonly #ticker = this.#owned.use(new Ticker());
  readonly #always = this.#owned.use(new Signal(true));
  readonly #intervalNs: number;
  readonly #count: number;
  #running = false;
  #sequence = 0;
  /** Ticks that were read and not used yet: there was no free buffer. */
  #waiting = 0;
  #firstNs = 0;

  constructor(options: PacedOptions) {
    this.name = options.name;
    this.picture = options.picture;
    this.#count = options.count ?? Number.POSITIVE_INFINITY;
    this.fps = options.fps === 0 ? undefined : options.fps;
    this.onDemand = options.fps === 0;
    this.#intervalNs = options.fps === 0 ? 0 : Math.max(1, Math.round(1e9 / options.fps));
    if (options.owned !== undefined) this.#owned.use(options.owned);
    const allocator = options.allocator ?? memfdAllocator;
    this.memory = allocator.name;
    try {
      const { sizeimage } = options.picture;
      this.buffers = Array.from({ length: options.buffers }, () =>
        this.#owned.use(allocator.allocate(sizeimage)),
      );
      this.#fill = options.prepare(this.buffers);
    } catch (error) {
      this.#owned.dispose();
      throw error;
    }
    const lender = { giveBack: () => undefined };
    this.frames = this.buffers.map(
      ({ mapping }, i) =>
        new Frame(i, [{ address: mapping.address, length: mapping.length }], lender),
    );
  }

  get fd(): number {
    return this.#intervalNs === 0 ? this.#always.fd : this.#ticker.fd;
  }

  get exhausted(): boolean {
    return this.#sequence >= this.#count;
  }

  share(index: number): Fd {
    const fd = this.buffers[index]?.fd;
    if (fd === undefined) {
      throw new UnavailableError(`${this.memory}: a buffer in it has no descriptor of its own`);
    }
    return Fd.duplicate(fd.number, fd.name);
  }

  start(): void {
    this.#running = true;
    this.#sequence = 0;
    this.#waiting = 0;
    this.#firstNs = monotonicNs();
    this.#ticker.start(this.#intervalNs, this.#firstNs);
  }

  stop(): void {
    this.#running = false;
    this.#ticker.start(0);
  }

  next(): Frame | undefined {
    if (!this.#running || !this.#due() || this.exhausted) return undefined;
    const frame = this.#free();
    if (frame === undefined) return undefined;
    const capturedUs = Math.floor((this.onDemand ? monotonicNs() : this.#dueNs) / 1000);
    frame.tsSec = Math.floor(capturedUs / 1e6);
    frame.tsUsec = capturedUs % 1e6;
    frame.sequence = this.#sequence++;
    // `fd` stays readable while another frame waits: the timer counts its tick once more.
    if (this.#waiting > 1) this.#ticker.start(this.#intervalNs, this.#dueNs);
    this.#waiting = 0;
    frame.bytesused = this.#fill(frame.index, frame.sequence);
    frame.flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    return frame.lend();
  }

  /**
   * When the next frame is due, in ns of CLOCK_MONOTONIC. That is its capture time, as of a camera, whose driver stamps a frame
   * however late the program runs that waits for it.
   */
  get #dueNs(): number {
    return this.#firstNs + this.#sequence * this.#intervalNs;
  }

  /** Whether a frame is due. Frames for which there was no free buffer are dropped. */
  #due(): boolean {
    if (this.#intervalNs === 0) return true;
    this.#waiting += this.#ticker.take();
    const lost = this.#waiting - this.frames.length;
    if (lost > 0) {
      this.#waiting -= lost;
      this.#sequence += lost;
      this.drops += lost;
    }
    return this.#waiting > 0;
  }

  #free(): Frame | undefined {
    const count = this.frames.length;
    for (let i = 0; i < count; i++) {
      const frame = this.frames[(this.#sequence + i) % count];
      if (frame !== undefined && !frame.lent) return frame;
    }
    return undefined;
  }

  [Symbol.dispose](): void {
    if (this.#owned.disposed) return;
    this.stop();
    this.#owned.dispose();
  }
}
