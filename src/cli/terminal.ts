// stderr: whole lines, and on a terminal a status line that is redrawn in place.
import { isatty } from "node:tty";
import { errno } from "../../ffi/errno.ts";
import { writeAt } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";

const STDERR = 2;
const encoder = new TextEncoder();
/** Whether stderr is a terminal. */
export const onTerminal = isatty(STDERR);
let status = "";

/** Writes synchronously, so that nothing is lost when the process exits next. Errors are ignored. */
function put(text: string): void {
  const bytes = encoder.encode(text);
  let at = 0;
  while (at < bytes.length) {
    const r = writeAt(STDERR, addressOf(bytes as Uint8Array<ArrayBuffer>) + at, bytes.length - at);
    if (r < 0 && r !== -errno.EINTR) return;
    if (r > 0) at += r;
  }
}

/** Writes complete lines to stderr, above the status line. */
export function writeStderr(lines: string): void {
  put(status === "" ? lines : `\r\x1b[K${lines}${status}`);
}

/** Shows a status line: on a terminal in place of the previous one, elsewhere as a line of its own. */
export function showStatus(line: string): void {
  if (onTerminal) {
    const width = process.stderr.columns || 80;
    status = line.length < width ? line : line.slice(0, width - 1);
    put(`\r\x1b[K${status}`);
  } else {
    put(`${line}\n`);
  }
}

/** Clears the status line. */
export function endStatus(): void {
  if (status !== "") put("\r\x1b[K");
  status = "";
}
