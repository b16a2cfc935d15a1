// stdout carries data: frames or JSON records. A write never blocks the loop, and a failed write is an error.
import { fstatSync } from "node:fs";
import { errno, SysError } from "../../ffi/errno.ts";
import { Fd, O_NONBLOCK, O_WRONLY, writeAt } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { advised, UnavailableError } from "../errors.ts";

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
 * the processes that share it. Anything else is duplicated, which keeps the file position. Throws UnavailableError.
 */
export function ownStdout(): Fd {
  if (!canStall(STDOUT)) return Fd.duplicate(STDOUT, "stdout");
  try {
    return Fd.open(`/proc/self/fd/${STDOUT}`, O_WRONLY | O_NONBLOCK);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    if (error.code === "ENXIO") {
      throw new UnavailableError("open stdout: the program that read it has ended", {
        cause: error,
      });
    }
    // A pipe of another user (sudo) cannot be opened a second time.
    const fd = Fd.duplicate(STDOUT, "stdout");
    fd.setNonBlocking(true);
    return fd;
  }
}

/** Writes JSON records to stdout, one per line. */
export class Records implements Disposable {
  readonly #fd = ownStdout();
  #waiting = new Uint8Array(new ArrayBuffer(0));

  /** Writes a record. What a slow reader does not take is kept, up to 1 MiB. Throws SysError beyond, or when a write fails. */
  write(record: Record<string, unknown>): void {
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
      if (r < 0) {
        this.#waiting = this.#waiting.slice(0, 0);
        throw new SysError("write", "stdout", -r);
      }
      this.#waiting = this.#waiting.slice(r);
    }
  }

  #giveUp(): never {
    const { length } = this.#waiting;
    this.#waiting = this.#waiting.slice(0, 0);
    throw advised(
      new SysError("write", "stdout", errno.EAGAIN),
      `its reader has not taken the last ${length} bytes`,
    );
  }

  /** Waits for a slow reader, 150 ms at most. Throws SysError if it has not taken everything by then. */
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

/** Writes text that was asked for (--help) to stdout. Throws SysError. */
export async function printOut(text: string): Promise<void> {
  try {
    await Bun.write(Bun.stdout, `${text}\n`);
  } catch (error) {
    const code = (error as { errno?: number }).errno;
    throw code === undefined ? error : new SysError("write", "stdout", Math.abs(code));
  }
}
