// stdout as data: frames or JSON records. Writing never holds up the loop, and what could not be written is said.
import { fstatSync } from "node:fs";
import { errno, SysError } from "../../ffi/errno.ts";
import { Fd, O_NONBLOCK, O_WRONLY, writeAt } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { advised, UnavailableError } from "../errors.ts";

const STDOUT = 1;
/** Records that a slow reader has not taken yet: more than that and it is taken to read no more. */
const MOST_WAITING_BYTES = 1 << 20;
/** How long the end of the program waits for a slow reader. */
const LAST_WAIT_MS = 150;

/** Whether a descriptor is of the kind that can make a writer wait: a pipe or a terminal. */
export function canStall(fd: number): boolean {
  const stat = fstatSync(fd);
  return stat.isFIFO() || stat.isCharacterDevice();
}

/**
 * A descriptor for stdout that does not wait: a pipe or terminal is opened anew, so that the flag does not reach
 * whoever shares it; anything else is duplicated, which keeps its position. Throws UnavailableError.
 */
export function ownStdout(): Fd {
  if (!canStall(STDOUT)) return Fd.duplicate(STDOUT, "stdout");
  try {
    return Fd.open(`/proc/self/fd/${STDOUT}`, O_WRONLY | O_NONBLOCK);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    if (error.code === "ENXIO") {
      throw new UnavailableError("open stdout: nobody reads it any more", { cause: error });
    }
    // Another user's pipe, as under sudo, cannot be opened anew.
    const fd = Fd.duplicate(STDOUT, "stdout");
    fd.setNonBlocking(true);
    return fd;
  }
}

/** JSON records on stdout, one line each. */
export class Records implements Disposable {
  readonly #fd = ownStdout();
  #waiting = new Uint8Array(new ArrayBuffer(0));

  /** Writes a record, or keeps it for a reader that is slow. Throws SysError when stdout takes no more. */
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

  /** Waits a moment for a slow reader. Throws SysError when it has not taken everything by then. */
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

/** Writes a text for people who asked for it. Throws SysError. */
export async function printOut(text: string): Promise<void> {
  try {
    await Bun.write(Bun.stdout, `${text}\n`);
  } catch (error) {
    const code = (error as { errno?: number }).errno;
    throw code === undefined ? error : new SysError("write", "stdout", Math.abs(code));
  }
}
