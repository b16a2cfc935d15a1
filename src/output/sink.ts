// One open file, pipe or device that frames are written to. Whatever fails, a file ends after a whole frame.
import { fstatSync } from "node:fs";
import { errno, SysError } from "../../ffi/errno.ts";
import { endOf, type Fd, pwriteAt, truncate } from "../../ffi/fd.ts";
import { Gather, type Sent } from "../../ffi/gather.ts";
import { addressOf } from "../../ffi/libc.ts";
import { canStall, writeError } from "../cli/stdout.ts";
import { advised } from "../errors.ts";
import type { Picture } from "../format/picture-layout.ts";
import { playCommand } from "./play.ts";
import { CaptureRate, fileRate } from "./rate.ts";
import { y4mHeader } from "./y4m.ts";

/** How long a pipe's reader may take for the end of the last frame. */
const LAST_WAIT_MS = 150;

export class Sink implements Disposable {
  readonly fd: Fd;
  readonly name: string;
  readonly rate = new CaptureRate();
  readonly #regular: boolean;
  readonly #socket: boolean;
  #picture: Picture | undefined;
  /** The colour space of the YUV4MPEG2 header that was written. */
  #colourSpace: string | undefined;
  /** Bytes of the file up to the end of the last whole frame. */
  #kept = 0;
  #keptBefore = 0;
  #frames = 0;
  /** Frames, or their ends, whose buffers their owner has taken back. They are written before the next frame. */
  readonly #rests: { readonly gather: Gather; readonly bytes: Uint8Array }[] = [];

  /** Takes ownership of `fd`. `own`: the file was opened here, so it may be truncated and its header rewritten. */
  constructor(fd: Fd, name: string, own: boolean) {
    this.fd = fd;
    this.name = name;
    const stat = fstatSync(fd.number);
    this.#regular = own && stat.isFile();
    this.#socket = stat.isSocket();
    if (canStall(fd.number)) fd.setNonBlocking(true);
  }

  /** Frames written completely. */
  get frames(): number {
    return this.#frames;
  }

  /** Size and format of the frames, once there is one. */
  get picture(): Picture | undefined {
    return this.#picture;
  }

  /** Call before the first frame of a stream. `colourSpace` is given for YUV4MPEG2. Throws SysError. */
  begin(picture: Picture, colourSpace: string | undefined): void {
    if (this.#picture !== undefined) return;
    this.#picture = picture;
    if (colourSpace === undefined) return;
    const header = y4mHeader(picture, colourSpace);
    const gather = new Gather([{ address: addressOf(header), length: header.length }]);
    const sent = this.#put(gather);
    if (sent !== "done") {
      this.cut();
      const error = new SysError("write", this.name, sent === "again" ? errno.EAGAIN : -sent);
      throw advised(error, "the YUV4MPEG2 header was not written completely");
    }
    this.#colourSpace = colourSpace;
    this.#kept = header.length;
  }

  /** Writes what is left of a frame. Returns false when a pipe is full. Throws SysError or ReaderLeft. */
  write(gather: Gather): boolean {
    if (!this.flush() || !this.#push(gather)) return false;
    this.#keptBefore = this.#kept;
    this.#kept += gather.total;
    this.#frames += 1;
    return true;
  }

  #push(gather: Gather): boolean {
    const sent = this.#put(gather);
    if (sent === "again") return false;
    if (sent === "done") return true;
    this.cut();
    const left = `${gather.left} of the ${gather.total} bytes of frame ${this.#frames + 1} are missing`;
    throw advised(writeError(this.name, -sent), `${left}, ${this.#frames} whole frames are there`);
  }

  /** A socket is shared with the process that passed it, so it stays blocking; sendmsg has MSG_DONTWAIT. */
  #put(gather: Gather): Sent {
    return this.#socket ? gather.send(this.fd) : gather.write(this.fd);
  }

  /** Takes over the end of a frame that a full pipe took in part: its buffer goes back to its owner. */
  keep(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#regular) {
      this.cut();
      return;
    }
    const gather = new Gather([{ address: addressOf(bytes), length: bytes.length }]);
    this.#rests.push({ gather, bytes });
  }

  /** Writes what `keep` took over. Returns whether all of it was written. Throws SysError or ReaderLeft. */
  flush(): boolean {
    for (let next = this.#rests[0]; next !== undefined; next = this.#rests[0]) {
      if (!this.#push(next.gather)) return false;
      this.#rests.shift();
      this.#frames += 1;
    }
    return true;
  }

  /** Takes the last whole frame back, where the file allows it. */
  revoke(): void {
    if (!this.#regular) return;
    this.#kept = this.#keptBefore;
    this.#frames -= 1;
    this.cut();
  }

  /** Removes an unfinished frame from the end of the file. */
  cut(): void {
    if (!this.#regular) return;
    truncate(this.fd.number, this.#kept);
    endOf(this.fd.number); // later frames are written at the new end
  }

  /** Frames per second: the cameras', where their times say it, else `fps`. */
  #fps(fps: number): number {
    const { frames, scale } = fileRate(this.rate.fps ?? fps, this.rate.spanUs);
    return frames / scale;
  }

  /**
   * Closes the file. Writes the rate, now known, into a YUV4MPEG2 header; `fps` is the measured one. Returns the command
   * that plays it, if there is one. Throws SysError.
   */
  finish(fps: number): string | undefined {
    if (this.fd.closed) return undefined;
    const untilMs = performance.now() + LAST_WAIT_MS;
    while (!this.flush() && performance.now() < untilMs) Bun.sleepSync(5);
    const known = this.rate.fps ?? fps;
    if (this.#regular && this.#colourSpace !== undefined && this.#picture && known > 0) {
      const rate = fileRate(known, this.rate.spanUs);
      const header = y4mHeader(this.#picture, this.#colourSpace, rate);
      pwriteAt(this.fd.number, addressOf(header), header.length, 0);
    }
    this.fd.close();
    if (this.#picture === undefined || this.#frames === 0) return undefined;
    return playCommand(this.name, this.#picture, known > 0 ? this.#fps(fps) : 0);
  }

  [Symbol.dispose](): void {
    this.fd[Symbol.dispose]();
  }
}
