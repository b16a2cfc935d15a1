// The logger: consola's core with one reporter of ours, because the stock one writes `info` to stdout
// (stdout is data) and costs 20 ms of start-up. Levels as consola's: error, warn, info, debug.
import { createConsola, LogLevels } from "consola/core";
import { writeStderr } from "./terminal.ts";

const levels = {
  error: LogLevels.error,
  warn: LogLevels.warn,
  info: LogLevels.info,
  debug: LogLevels.debug,
};
/** Names of the log levels, quietest first. */
export const logLevels = Object.keys(levels) as (keyof typeof levels)[];

/** Logs to stderr, one line a message: `sender: capture: text`. Sub-loggers by `withTag`. */
export const log = createConsola({
  level: levels.info,
  throttle: 0,
  reporters: [
    {
      log({ tag, type, args }) {
        const label = type === "warn" || type === "error" ? `${type}: ` : "";
        const where = tag === "" ? "" : `${tag.replaceAll(":", ": ")}: `;
        writeStderr(`${toolName}: ${where}${label}${oneLine(args.join(" "))}\n`);
      },
    },
  ],
});

let toolName = "framepass";

/** Names of files, hosts and devices come from outside: no line feed or escape sequence of theirs reaches a terminal. */
export const oneLine = (text: string) =>
  text.replace(/\p{Cc}/gu, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);

/** Says all there is to know about an error that should not have happened, stack trace included. */
export function logDefect(error: unknown): void {
  writeStderr(`${toolName}: error: ${Bun.inspect(error)}\n`);
}

/** Sets the name every line starts with, and how much is said. */
export function setUpLog(name: string, level: keyof typeof levels): void {
  toolName = name;
  log.level = levels[level];
}
