// Writes lines to a descriptor and never waits for its reader: a pipe that is not read, or a terminal that was stopped with
// ctrl-S, must not stop a stream. Lines wait here instead; those for which there is no room are counted.
import { fstatSync } from "node:fs";
import { errno } from "../../ffi/errno.ts";
import { Fd, O_NOCTTY, O_NONBLOCK, O_WRONLY, writeAt } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { takesBytes } from "../../ffi/notifier.ts";
import { send } from "../../ffi/socket.ts";
import { canStall } from "./stdout.ts";

/** Bytes of lines that may wait. */
const MOST_WAITING_BYTES = 1 << 16;
/** How often waiting lines are tried again. */
const RETRY_MS = 50;
/** A pipe that is writable takes as much without waiting: pipe(7), and terminals at least when they are idle. */
const SMALL_WRITE_BYTES = 512;

type Write = (at: number, length: number) => number;

export class LineWriter {
  readonly #write: Write;
  readonly #notice: (hidden: number) => string;
  #waiting: Uint8Array<ArrayBuffer>[] = [];
  #bytes = 0;
  #hidden = 0;
  #timer: Timer | undefined;

  /** `notice` makes the line that stands for `hidden` lines without room. */
  constructor(fd: number, notice: (hidden: number) => string) {
    this.#write = writeWithoutWaiting(fd);
    this.#notice = notice;
  }

  /** Whether lines wait for the reader. */
  get busy(): boolean {
    return this.#waiting.length > 0;
  }

  /** Writes `text`, whole lines, now or later. Errors are ignored: there is nowhere to report them. */
  put(text: string): void {
    this.#push();
    if (this.#hidden > 0 && !this.#fits(this.#notice(this.#hidden), text)) this.#hide(text);
    else {
      this.#queueNotice();
      if (this.#fits(text)) this.#queue(text);
      else this.#hide(text);
    }
    this.#push();
    if (this.busy) this.#retryLater();
  }

  /** Waits for the reader, `limitMs` at most. */
  flush(limitMs: number): void {
    const untilMs = performance.now() + limitMs;
    for (this.#push(); this.busy && performance.now() < untilMs; this.#push()) Bun.sleepSync(5);
  }

  #fits(...texts: readonly string[]): boolean {
    const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    return this.#bytes + bytes <= MOST_WAITING_BYTES;
  }

  #hide(text: string): void {
    this.#hidden += text.split("\n").length - 1;
  }

  #queueNotice(): void {
    if (this.#hidden === 0) return;
    this.#queue(this.#notice(this.#hidden));
    this.#hidden = 0;
  }

  #queue(text: string): void {
    const bytes = new Uint8Array(new TextEncoder().encode(text).slice().buffer);
    this.#waiting.push(bytes);
    this.#bytes += bytes.length;
  }

  #push(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const r = this.#write(addressOf(first), first.length);
      if (r === -errno.EINTR) continue;
      if (r === -errno.EAGAIN) return;
      const done = r < 0 ? first.length : r; // what fails is lost
      this.#bytes -= done;
      if (done < first.length) this.#waiting[0] = first.subarray(done);
      else this.#waiting.shift();
      if (!this.busy) this.#queueNotice();
    }
  }

  #retryLater(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#push();
      if (this.busy) this.#retryLater();
    }, RETRY_MS);
    this.#timer.unref();
  }
}

/**
 * A pipe or terminal is opened a second time, because O_NONBLOCK would also affect the processes that share it. One of
 * another user (sudo) cannot be opened: there each small write follows a poll.
 */
function writeWithoutWaiting(fd: number): Write {
  if (isSocket(fd)) {
    const socket = new Fd(fd, "stderr"); // never closed: it is the process's own
    return (at, length) => send(socket, at, length);
  }
  if (!mayStall(fd)) return (at, length) => writeAt(fd, at, length);
  try {
    const again = Fd.open(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
    return (at, length) => writeAt(again.number, at, length);
  } catch {
    return (at, length) =>
      takesBytes(fd) ? writeAt(fd, at, Math.min(length, SMALL_WRITE_BYTES)) : -errno.EAGAIN;
  }
}

function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket();
  } catch {
    return false; // closed
  }
}

function mayStall(fd: number): boolean {
  try {
    return canStall(fd);
  } catch {
    return false; // closed: writes fail at once
  }
}
