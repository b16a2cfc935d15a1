// stdout carries data: frames or JSON records. A write never blocks the loop, and a failed write is an error.
import { fstatSync } from "node:fs";
import { errno, SysError } from "../../ffi/errno.ts";
import { Fd, O_NONBLOCK, O_WRONLY, wasClosed, writeAt } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { advised, ReaderLeft } from "../errors.ts";

const STDOUT = 1;
/** Bytes kept for a slow reader. With more the reader is considered stuck. */
const MOST_WAITING_BYTES = 1 << 20;
/** How long the program waits for a slow reader when it ends. */
const LAST_WAIT_MS = 150;

/** Whether a write to the descriptor can block: a pipe or a terminal. */
export function canStall(fd: number): boolean {
  const stat = fstatSync(fd);
  return stat.isFIFO() || stat.isCharacterDevice();
}

/**
 * A non-blocking descriptor for stdout. A pipe or terminal is opened a second time, because O_NONBLOCK would also affect
 * the processes that share it. Anything else is duplicated, which keeps the file position. Throws ReaderLeft, or SysError
 * when it was closed.
 */
export function ownStdout(): Fd {
  checkStdoutOpen();
  if (!canStall(STDOUT)) return Fd.duplicate(STDOUT, "stdout");
  try {
    return Fd.open(`/proc/self/fd/${STDOUT}`, O_WRONLY | O_NONBLOCK);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    if (error.code === "ENXIO") throw new ReaderLeft("stdout", error);
    // A pipe of another user (sudo) cannot be opened a second time.
    const fd = Fd.duplicate(STDOUT, "stdout");
    fd.setNonBlocking(true);
    return fd;
  }
}

/** Throws SysError when stdout was closed (`>&-`). The runtime opens /dev/null in its place, and everything would be lost. */
export function checkStdoutOpen(): void {
  if (!wasClosed(STDOUT)) return;
  const error = new SysError("write", "stdout", errno.EBADF);
  throw advised(error, "it was closed when this program was started");
}

/** The error for a failed write of ours. A pipe without a reader is ReaderLeft, anything else SysError. */
export function writeError(name: string, code: number): ReaderLeft | SysError {
  const error = new SysError("write", name, code);
  return code === errno.EPIPE ? new ReaderLeft(name, error) : error;
}

/** Writes JSON records to stdout, one per line. After a failed write it writes nothing more. */
export class Records implements Disposable {
  readonly #fd = ownStdout();
  #waiting = new Uint8Array(new ArrayBuffer(0));
  #broken = false;

  /** Whether a write has failed: later records are not written. */
  get broken(): boolean {
    return this.#broken;
  }

  /**
   * Writes a record. What a slow reader does not take is kept, up to 1 MiB. Throws SysError beyond, or when a write fails;
   * ReaderLeft when the pipe has no reader any more.
   */
  write(record: Record<string, unknown>): void {
    if (this.#broken) return;
    const line = new TextEncoder().encode(`${JSON.stringify(record)}\n`);
    const all = new Uint8Array(new ArrayBuffer(this.#waiting.length + line.length));
    all.set(this.#waiting);
    all.set(line, this.#waiting.length);
    this.#waiting = all;
    this.#push();
    if (this.#waiting.length > MOST_WAITING_BYTES) this.#giveUp();
  }

  #push(): void {
    while (this.#waiting.length > 0) {
      const r = writeAt(this.#fd.number, addressOf(this.#waiting), this.#waiting.length);
      if (r === -errno.EAGAIN) return;
      if (r === -errno.EINTR) continue;
      if (r < 0) this.#fail(writeError("stdout", -r));
      this.#waiting = this.#waiting.slice(r);
    }
  }

  #fail(error: Error): never {
    this.#broken = true;
    this.#waiting = this.#waiting.slice(0, 0);
    throw error;
  }

  #giveUp(): never {
    const { length } = this.#waiting;
    const error = new SysError("write", "stdout", errno.EAGAIN);
    this.#fail(advised(error, `its reader has not taken the last ${length} bytes`));
  }

  /** Waits for a slow reader, 150 ms at most. Throws like `write`, also if the reader has not taken everything by then. */
  flush(): void {
    const untilMs = performance.now() + LAST_WAIT_MS;
    for (this.#push(); this.#waiting.length > 0; this.#push()) {
      if (performance.now() > untilMs) this.#giveUp();
      Bun.sleepSync(5);
    }
  }

  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }
}

/** Writes text that was asked for (--help) to stdout. Throws SysError or ReaderLeft. */
export async function printOut(text: string): Promise<void> {
  checkStdoutOpen();
  try {
    await Bun.write(Bun.stdout, `${text}\n`);
  } catch (error) {
    const code = (error as { errno?: number }).errno;
    throw code === undefined ? error : writeError("stdout", Math.abs(code));
  }
}
