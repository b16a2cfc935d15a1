// A recording that comes through a pipe, as a source. Pictures are read as the pipe has them and passed on at their rate; a
// slow receiver slows the pipe's writer down, so none is dropped.
import { monotonicUs } from "../../ffi/clock.ts";
import { EPOLLIN, Epoll, Signal, Ticker } from "../../ffi/epoll.ts";
import { errno, SysError } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC } from "../../ffi/linux/videodev2.ts";
import { log } from "../cli/log.ts";
import { SourceEnded, UnavailableError } from "../errors.ts";
import { fourcc } from "../format/formats.ts";
import type { Picture } from "../format/picture-layout.ts";
import { fromPlanar } from "../format/planar.ts";
import { Frame } from "../frame/frame.ts";
import { type FrameBuffer, memfdAllocator } from "../frame/memory.ts";
import type { Source } from "../frame/source.ts";
import type { PipeInput } from "./pipe-input.ts";
import type { RecordingOptions } from "./recording.ts";
import {
  isFrameLine,
  MAX_HEADER,
  type RecordedPictures,
  rawPictures,
  readY4mHeader,
  withoutCr,
} from "./y4m-header.ts";

/** Opens the recording in `pipe`, which the caller keeps. Throws UnavailableError or UsageError. */
export function openPipeSource(pipe: PipeInput, wish: RecordingOptions): Source {
  const pictures =
    pipe.header === undefined ? rawPictures(wish) : readY4mHeader(pipe.name, pipe.header, wish);
  return new PipeSource(pipe, pictures, wish);
}

/** The shortest line that announces a picture: "FRAME" and a line feed. */
const SHORTEST_LINE = 6;

class PipeSource implements Source {
  readonly name: string;
  readonly picture: Picture;
  readonly fps: number | undefined;
  readonly frames: readonly Frame[];
  readonly memory: string;
  readonly drops = 0;
  readonly errors = 0;
  readonly waits = true;
  readonly #pipe: PipeInput;
  readonly #pictures: RecordedPictures;
  readonly #owned = new DisposableStack();
  readonly #epoll = this.#owned.use(new Epoll());
  readonly #ticker = this.#owned.use(new Ticker());
  readonly #always = this.#owned.use(new Signal(true));
  readonly #intervalNs: number;
  readonly #buffers: readonly FrameBuffer[];
  readonly #planes: Uint8Array<ArrayBuffer> | undefined;
  readonly #line: Uint8Array<ArrayBuffer> | undefined;
  /** The descriptor that `fd` stands for at this time. */
  #waitsFor = -1;
  #running = false;
  #filling: Frame | undefined;
  #lineBytes = 0;
  #lineDone = false;
  #got = 0;
  #complete = false;
  #ended = false;
  #sequence = 0;
  #ticks = 0;

  constructor(pipe: PipeInput, pictures: RecordedPictures, wish: RecordingOptions) {
    const { width, height, format, fps, sizeimage, stored, fromPlanes } = pictures;
    this.#pipe = pipe;
    this.#pictures = pictures;
    this.name = pipe.name;
    this.picture = { width, height, pixelformat: fourcc(format.name), sizeimage };
    this.fps = fps === 0 ? undefined : fps;
    this.#intervalNs = fps === 0 ? 0 : 1e9 / fps;
    const allocator = wish.allocator ?? memfdAllocator;
    this.memory = allocator.name;
    try {
      this.#buffers = Array.from({ length: wish.buffers }, () =>
        this.#owned.use(allocator.allocate(sizeimage)),
      );
    } catch (error) {
      this.#owned.dispose();
      throw error;
    }
    this.#planes = fromPlanes ? new Uint8Array(new ArrayBuffer(stored)) : undefined;
    this.#line =
      pipe.header === undefined ? undefined : new Uint8Array(new ArrayBuffer(MAX_HEADER));
    const lender = { giveBack: () => this.#goOn() };
    this.frames = this.#buffers.map(
      ({ mapping: { address, length } }, i) => new Frame(i, [{ address, length }], lender),
    );
    this.#waitFor(pipe.fd.number);
  }

  get fd(): number {
    return this.#epoll.fd;
  }

  get exhausted(): boolean {
    return this.#ended && !this.#complete;
  }

  share(index: number): Fd {
    const fd = this.#buffers[index]?.fd;
    if (fd === undefined) {
      throw new UnavailableError(`${this.memory}: a buffer in it has no descriptor of its own`);
    }
    return Fd.duplicate(fd.number, fd.name);
  }

  start(): void {
    this.#running = true;
    this.#ticker.start(this.#intervalNs);
  }

  stop(): void {
    this.#running = false;
    this.#ticker.start(0);
  }

  #waitFor(fd: number): void {
    if (this.#waitsFor === fd) return;
    if (this.#waitsFor >= 0) this.#epoll.remove(this.#waitsFor);
    if (fd >= 0) this.#epoll.add(fd, EPOLLIN, 0);
    this.#waitsFor = fd;
  }

  /** A buffer is free again: the pipe may be read on. */
  #goOn(): void {
    if (!this.#owned.disposed && this.#waitsFor < 0) this.#waitFor(this.#pipe.fd.number);
  }

  next(): Frame | undefined {
    if (!this.#running) return undefined;
    if (!this.#complete && !this.#ended) this.#read();
    const frame = this.#filling;
    if (!this.#complete || frame === undefined) return undefined;
    if (!this.#due()) {
      this.#waitFor(this.#ticker.fd);
      return undefined;
    }
    this.#complete = false;
    this.#filling = undefined;
    this.#waitFor(this.#ended ? this.#always.fd : this.#pipe.fd.number);
    frame.bytesused = this.#pictures.sizeimage;
    frame.sequence = this.#sequence++;
    const nowUs = monotonicUs();
    frame.tsSec = Math.floor(nowUs / 1e6);
    frame.tsUsec = nowUs % 1e6;
    frame.flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    return frame.lend();
  }

  /** Whether a picture is due. As many late ones as there are buffers are made up for. */
  #due(): boolean {
    if (this.#intervalNs === 0) return true;
    this.#ticks = Math.min(this.#ticks + this.#ticker.take(), this.frames.length);
    if (this.#ticks === 0) return false;
    this.#ticks -= 1;
    return true;
  }

  /** Reads what the pipe has, up to the end of one picture. Throws SourceEnded. */
  #read(): void {
    this.#filling ??= this.frames.find((frame) => !frame.lent);
    const frame = this.#filling;
    const mapping = frame && this.#buffers[frame.index]?.mapping;
    if (mapping === undefined) {
      this.#waitFor(-1); // until a frame comes back
      return;
    }
    if (!this.#readLine()) return;
    const { stored, format, width, height } = this.#pictures;
    const at = this.#planes === undefined ? mapping.address : addressOf(this.#planes);
    if (this.#got === 0 && this.#sequence === 0 && this.#line === undefined) {
      this.#got = this.#takeHead(mapping.bytes);
    }
    while (this.#got < stored) {
      const r = this.#readSome(at + this.#got, stored - this.#got);
      if (r <= 0) return;
      this.#got += r;
    }
    if (this.#planes !== undefined) {
      fromPlanar(format, width, height, this.#planes, mapping.bytes);
    }
    this.#got = 0;
    this.#lineDone = false;
    this.#complete = true;
  }

  /** The bytes that were read to find out that these are raw pictures. */
  #takeHead(into: Uint8Array): number {
    const { head } = this.#pipe;
    const count = Math.min(head.length, into.length);
    into.set(head.subarray(0, count));
    return count;
  }

  /** Reads the line before a picture. Returns whether the picture follows now. */
  #readLine(): boolean {
    const line = this.#line;
    if (line === undefined || this.#lineDone) return true;
    while (this.#lineBytes === 0 || line[this.#lineBytes - 1] !== 0x0a) {
      const wanted = Math.max(1, SHORTEST_LINE - this.#lineBytes);
      if (this.#lineBytes + wanted > line.length) this.#damaged();
      const r = this.#readSome(addressOf(line) + this.#lineBytes, wanted);
      if (r <= 0) return false;
      this.#lineBytes += r;
    }
    const text = new TextDecoder("latin1").decode(line.subarray(0, this.#lineBytes - 1));
    if (!isFrameLine(withoutCr(text))) this.#damaged();
    this.#lineBytes = 0;
    this.#lineDone = true;
    return true;
  }

  #damaged(): never {
    throw new SourceEnded(`${this.name}: no FRAME before picture ${this.#sequence + 1}`, false);
  }

  /** Returns how many bytes were read; 0 when there are none now, or none will follow. */
  #readSome(at: number, length: number): number {
    const r = this.#pipe.read(at, length);
    if (r > 0) return r;
    if (r === -errno.EAGAIN || r === -errno.EINTR) return 0;
    if (r < 0) {
      const error = new SysError("read", this.name, -r);
      throw new SourceEnded(error.message, false, error);
    }
    if (this.#sequence === 0) {
      throw new SourceEnded(`${this.name}: it ended before the first picture`, false);
    }
    this.#ended = true;
    this.#waitFor(this.#always.fd);
    if (this.#got > 0 || this.#lineBytes > 0 || this.#lineDone) {
      log.warn(`${this.name}: the last picture is cut short and not sent`);
    }
    return 0;
  }

  [Symbol.dispose](): void {
    if (this.#owned.disposed) return;
    this.stop();
    this.#owned.dispose();
  }
}
