// Received frames to a file or pipe, raw or YUV4MPEG2. A file ends after a whole frame, whatever happens.
import { fstatSync } from "node:fs";
import { EPOLLERR, EPOLLHUP, EPOLLOUT } from "../../ffi/epoll.ts";
import { SysError } from "../../ffi/errno.ts";
import { Fd, O_CREAT, O_TRUNC, O_WRONLY, pwriteAt, truncate } from "../../ffi/fd.ts";
import { Gather, type Piece } from "../../ffi/gather.ts";
import { addressOf } from "../../ffi/libc.ts";
import { needed, ProtocolError } from "../errors.ts";
import { fourccName, pixelFormat } from "../format/formats.ts";
import type { Picture } from "../format/layout.ts";
import { log } from "../log.ts";
import type { Loop } from "../loop.ts";
import { y4mFrameMark, y4mHeader } from "./y4m.ts";

const STDOUT = 1;

/** Opens `-o`: a path, or "-" for stdout. Throws UnavailableError. */
export function openOutput(loop: Loop, path: string): Output {
  if (path === "-") return new Output(loop, ownStdout(), "stdout", { y4m: false, own: false });
  const flags = O_WRONLY | O_CREAT | O_TRUNC;
  const fd = needed(
    () => Fd.open(path, flags),
    () => "choose another --output",
  );
  return new Output(loop, fd, path, { y4m: path.endsWith(".y4m"), own: true });
}

/**
 * A descriptor for stdout that may be made non-blocking: a pipe or terminal is opened anew, so that the flag
 * does not reach whoever shares it; anything else is duplicated, which keeps its position.
 */
function ownStdout(): Fd {
  const stat = fstatSync(STDOUT);
  if (stat.isFIFO() || stat.isCharacterDevice())
    return Fd.open(`/proc/self/fd/${STDOUT}`, O_WRONLY);
  return Fd.duplicate(STDOUT, "stdout");
}

export class Output implements Disposable {
  readonly name: string;
  readonly #loop: Loop;
  readonly #fd: Fd;
  readonly #regular: boolean;
  readonly #y4m: boolean;
  #picture: Picture | undefined;
  #header: Uint8Array<ArrayBuffer> | undefined;
  /** Bytes up to the end of the last whole frame. */
  #kept = 0;
  #frames = 0;
  #pending: Disposable | undefined;

  /** `own`: the file is ours from its first byte on, and may be cut or have its header rewritten. */
  constructor(loop: Loop, fd: Fd, name: string, { y4m, own }: { y4m: boolean; own: boolean }) {
    this.#loop = loop;
    this.#fd = fd;
    this.name = name;
    this.#y4m = y4m;
    const stat = fstatSync(fd.number);
    this.#regular = own && stat.isFile();
    if (stat.isFIFO() || stat.isCharacterDevice()) fd.setNonBlocking(true);
  }

  /** Frames written whole. */
  get frames(): number {
    return this.#frames;
  }

  /** What the frames in it are, once the first stream has begun. */
  get picture(): Picture | undefined {
    return this.#picture;
  }

  /** A stream begins. A file holds one kind of picture: throws ProtocolError for another one. */
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
    if (gather.write(this.#fd) !== "done")
      throw new ProtocolError(`${this.name}: no room for the header`);
    this.#kept = this.#header.length;
  }

  /** The list that writes a frame from `memory`; made once per buffer. Begin has been called. */
  gatherFor(memory: Piece): Gather {
    if (this.#header === undefined) return new Gather([memory]);
    return new Gather([{ address: addressOf(y4mFrameMark), length: y4mFrameMark.length }, memory]);
  }

  /**
   * Writes a frame, the first `bytesused` bytes of a list's memory. False when a pipe is full: `ready` or
   * `failed` is called later. Throws SysError; the file then ends after the last whole frame.
   */
  write(
    gather: Gather,
    bytesused: number,
    ready: () => void,
    failed: (error: unknown) => void,
  ): boolean {
    gather.rewind(bytesused);
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

  #go(gather: Gather): boolean {
    const sent = gather.write(this.#fd);
    if (sent === "again") return false;
    if (typeof sent === "number") {
      this.#cut();
      const error = new SysError("write", this.name, -sent);
      const left = `${gather.left} of the ${gather.total} bytes of frame ${this.#frames + 1} are missing`;
      error.message += `; ${left}, ${this.#frames} whole frames are there`;
      throw error;
    }
    this.#kept += gather.total;
    this.#frames += 1;
    return true;
  }

  /** Takes an unfinished frame off the end of the file again. */
  #cut(): void {
    if (this.#regular) truncate(this.#fd.number, this.#kept);
  }

  /** Closes. `fps` goes into a YUV4MPEG2 header, which was written before anybody knew. Throws SysError. */
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
