// stderr: whole lines, and on a terminal a status line that is redrawn in place.
import { isatty } from "node:tty";
import { countedWere } from "./counted.ts";
import { LineWriter } from "./line-writer.ts";

const STDERR = 2;
/** How long the program waits for a slow reader of stderr when it ends. */
const LAST_WAIT_MS = 150;
/** Whether escape sequences may be written: not to a terminal that has none. */
export const hasEscapes = process.env.TERM !== "dumb";
/** Whether stderr is a terminal on which a line can be redrawn. */
export const onTerminal = isatty(STDERR) && hasEscapes;
/** Clears the status line, also what a narrowed terminal has wrapped into the rows below. */
const CLEAR = "\r\x1b[J";

let name = "framepass";
const out = new LineWriter(
  STDERR,
  (hidden) => `${name}: ${countedWere(hidden, "line")} not shown\n`,
);
let parts: readonly string[] = [];
let following = false;

/** Sets the name that lines about lines start with. */
export function nameStderr(tool: string): void {
  name = tool;
}

/** As many of the parts as fit in the width, joined; none is cut. */
export function fitted(parts: readonly string[], width: number): string {
  let line = "";
  for (const part of parts) {
    const longer = line === "" ? part : `${line}, ${part}`;
    if (longer.length < width) line = longer;
  }
  return line;
}

/** The status line. The cursor stays at its start: a terminal that wraps it when narrowed wraps downwards then. */
function status(): string {
  const line = fitted(parts, process.stderr.columns || 80);
  return line === "" ? "" : `${line}\r`;
}

/** Writes complete lines to stderr, above the status line. Never waits. */
export function writeStderr(lines: string): void {
  if (parts.length === 0) out.put(lines);
  else out.put(`${CLEAR}${lines}${out.busy ? "" : status()}`);
}

/** Shows a status line of these parts in place of the previous one. Without a terminal that can, it is a line of its own. */
export function showStatus(shown: readonly string[]): void {
  if (!onTerminal) {
    out.put(`${shown.join(", ")}\n`);
    return;
  }
  parts = shown;
  if (!following) process.on("SIGWINCH", redraw); // also keeps process.stderr.columns up to date
  following = true;
  redraw();
}

function redraw(): void {
  if (parts.length > 0 && !out.busy) out.put(`${CLEAR}${status()}`);
}

/** Clears the status line. */
export function endStatus(): void {
  if (parts.length > 0) out.put(CLEAR);
  parts = [];
}

/** Whether lines wait for a reader of stderr and a timer of the runtime tries again. */
export const stderrRetries = (): boolean => out.busy;

/** Waits a short time for a slow reader of stderr. The last call of the process. */
export function flushStderr(): void {
  out.flush(LAST_WAIT_MS);
}
