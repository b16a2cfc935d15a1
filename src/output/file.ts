// Writes received frames to a file or pipe, raw or as YUV4MPEG2. Whatever fails, a file ends after a whole frame.
import { fstatSync } from "node:fs";
import { EPOLLERR, EPOLLHUP, EPOLLOUT } from "../../ffi/epoll.ts";
import { errno, SysError } from "../../ffi/errno.ts";
import { Fd, O_CREAT, O_NONBLOCK, O_TRUNC, O_WRONLY, pwriteAt, truncate } from "../../ffi/fd.ts";
import { Gather, type Piece, type Sent } from "../../ffi/gather.ts";
import { addressOf } from "../../ffi/libc.ts";
import type { Memory } from "../../ffi/mapping.ts";
import { log } from "../cli/log.ts";
import { canStall, ownStdout, writeError } from "../cli/stdout.ts";
import { advised, needed, ProtocolError } from "../errors.ts";
import { fourccName, pixelFormat } from "../format/formats.ts";
import { type Picture, pictureBytes } from "../format/picture-layout.ts";
import type { Loop } from "../loop.ts";
import type { FrameOutput, FrameWriter } from "./frame-output.ts";
import { y4mFrameMark, y4mHeader } from "./y4m.ts";

const NO_READER = "ENXIO";
const LOOK_FOR_READER_MS = 100;

/** Like `openOutput`, but waits until a program reads a named pipe. Undefined when `signal` aborts first. */
export async function openOutputWhenRead(
  loop: Loop,
  path: string,
  signal: AbortSignal,
): Promise<Output | undefined> {
  for (let said = false; !signal.aborted; said = true) {
    try {
      return openOutput(loop, path);
    } catch (error) {
      const { cause } = error as Error;
      if (path === "-" || !(cause instanceof SysError) || cause.code !== NO_READER) throw error;
      if (!said) log.info(`${path}: waiting for a program that reads this pipe`);
    }
    await loop.sleep(LOOK_FOR_READER_MS, signal);
  }
  return undefined;
}

/** Opens the --output: a path, or "-" for stdout. Throws UnavailableError, also for a named pipe without a reader. */
export function openOutput(loop: Loop, path: string): Output {
  if (path === "-") return new Output(loop, ownStdout(), "stdout", { y4m: false, own: false });
  const flags = O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK; // opening a named pipe must not block
  const fd = needed(
    () => Fd.open(path, flags),
    ({ code }) => (code === NO_READER ? "no program reads this pipe" : "choose another --output"),
  );
  return new Output(loop, fd, path, { y4m: path.endsWith(".y4m"), own: true });
}

export class Output implements FrameOutput {
  readonly name: string;
  readonly #loop: Loop;
  readonly #fd: Fd;
  readonly #regular: boolean;
  readonly #socket: boolean;
  readonly #y4m: boolean;
  #picture: Picture | undefined;
  #header: Uint8Array<ArrayBuffer> | undefined;
  /** Bytes of every frame in a file with a header; 0 without a header: frames are written at their own size. */
  #frameBytes = 0;
  #leftOut = 0;
  /** Bytes of the file up to the end of the last whole frame. */
  #kept = 0;
  #frames = 0;
  #pending: Disposable | undefined;

  /** `own`: the file was opened here, so it may be truncated and its header rewritten. */
  constructor(loop: Loop, fd: Fd, name: string, { y4m, own }: { y4m: boolean; own: boolean }) {
    this.#loop = loop;
    this.#fd = fd;
    this.name = name;
    this.#y4m = y4m;
    const stat = fstatSync(fd.number);
    this.#regular = own && stat.isFile();
    this.#socket = stat.isSocket();
    if (canStall(fd.number)) fd.setNonBlocking(true);
  }

  /** Frames written completely. */
  get frames(): number {
    return this.#frames;
  }

  /** Size and format of the frames, once the first stream has begun. */
  get picture(): Picture | undefined {
    return this.#picture;
  }

  /** Called when a stream begins. Throws ProtocolError when its size or format differs from the first stream. */
  begin(picture: Picture): void {
    const first = this.#picture;
    if (first === undefined) {
      this.#picture = picture;
      if (this.#y4m) this.#writeHeader(picture);
      return;
    }
    const same = first.width === picture.width && first.height === picture.height;
    if (same && first.pixelformat === picture.pixelformat) return;
    const what = ({ width, height, pixelformat }: Picture) =>
      `${width}x${height} ${fourccName(pixelformat)}`;
    throw new ProtocolError(
      `hello: the stream is ${what(picture)}, ${this.name} holds ${what(first)}`,
    );
  }

  #writeHeader(picture: Picture): void {
    const format = pixelFormat(picture.pixelformat);
    if (format?.y4m === undefined) {
      log.warn(
        `${fourccName(picture.pixelformat)} has no YUV4MPEG2 form; ${this.name} gets raw frames without a header`,
      );
      return;
    }
    this.#header = y4mHeader(picture, format.y4m);
    const gather = new Gather([{ address: addressOf(this.#header), length: this.#header.length }]);
    const sent = this.#put(gather);
    if (sent !== "done") {
      this.#cut();
      const error = new SysError("write", this.name, sent === "again" ? errno.EAGAIN : -sent);
      throw advised(error, "the YUV4MPEG2 header was not written completely");
    }
    this.#kept = this.#header.length;
    this.#frameBytes = pictureBytes(format, picture.width, picture.height);
  }

  writerFor({ address, length }: Memory): FrameWriter {
    const gather = this.gatherFor({ address, length });
    return (bytes, ready, failed) => this.write(gather, bytes, ready, failed);
  }

  end(): void {}

  /** The list that writes a frame from `memory`. Made once per buffer, after `begin`. */
  gatherFor(memory: Piece): Gather {
    if (this.#header === undefined) return new Gather([memory]);
    return new Gather([{ address: addressOf(y4mFrameMark), length: y4mFrameMark.length }, memory]);
  }

  /**
   * Writes a frame, the first `bytesused` bytes of a list's memory. Answers false when a pipe is full; `ready` or
   * `failed` is then called later. Throws SysError; the file then ends after the last whole frame.
   */
  write(
    gather: Gather,
    bytesused: number,
    ready: () => void,
    failed: (error: unknown) => void,
  ): boolean {
    if (bytesused < this.#frameBytes) {
      this.#leaveOut(bytesused);
      return true;
    }
    gather.rewind(this.#frameBytes || bytesused);
    if (this.#go(gather)) return true;
    const watch = this.#loop.watch(this.#fd.number, EPOLLOUT, (events) => {
      try {
        if (!this.#go(gather) && (events & (EPOLLERR | EPOLLHUP)) === 0) return;
        watch[Symbol.dispose]();
        this.#pending = undefined;
        ready();
      } catch (error) {
        watch[Symbol.dispose]();
        this.#pending = undefined;
        failed(error);
      }
    });
    this.#pending = watch;
    return false;
  }

  /** YUV4MPEG2 cannot hold a frame shorter than a picture. */
  #leaveOut(bytesused: number): void {
    this.#leftOut += 1;
    if (this.#leftOut > 1) return;
    const least = `a picture has ${this.#frameBytes}`;
    log.warn(
      `${this.name}: a frame of ${bytesused} bytes is left out, ${least}; later ones are left out without a warning`,
    );
  }

  /** A socket is shared with the process that passed it, so it stays blocking; sendmsg has MSG_DONTWAIT. */
  #put(gather: Gather): Sent {
    return this.#socket ? gather.send(this.#fd) : gather.write(this.#fd);
  }

  #go(gather: Gather): boolean {
    const sent = this.#put(gather);
    if (sent === "again") return false;
    if (typeof sent === "number") {
      this.#cut();
      const error = writeError(this.name, -sent);
      const left = `${gather.left} of the ${gather.total} bytes of frame ${this.#frames + 1} are missing`;
      throw advised(error, `${left}, ${this.#frames} whole frames are there`);
    }
    this.#kept += gather.total;
    this.#frames += 1;
    return true;
  }

  /** Removes an unfinished frame from the end of the file. */
  #cut(): void {
    if (this.#regular) truncate(this.#fd.number, this.#kept);
  }

  /** Closes the file. Writes `fps`, now known, into a YUV4MPEG2 header. Throws SysError. */
  finish(fps: number): void {
    if (this.#fd.closed) return;
    this.#pending?.[Symbol.dispose]();
    if (this.#regular && this.#header !== undefined && this.#picture !== undefined && fps > 0) {
      const format = pixelFormat(this.#picture.pixelformat);
      const header = y4mHeader(this.#picture, format?.y4m ?? "", fps);
      pwriteAt(this.#fd.number, addressOf(header), header.length, 0);
    }
    this.#fd.close();
  }

  [Symbol.dispose](): void {
    this.#pending?.[Symbol.dispose]();
    this.#fd[Symbol.dispose]();
  }
}
