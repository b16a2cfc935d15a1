// The logger: consola's core with our own reporter. Consola's reporter writes `info` to stdout, which is for data, and
// takes 20 ms to start. The levels are consola's: error, warn, info, debug.
import { createConsola, LogLevels } from "consola/core";
import { prioritized } from "./journal.ts";
import { nameStderr, writeStderr } from "./terminal.ts";

const levels = {
  error: LogLevels.error,
  warn: LogLevels.warn,
  info: LogLevels.info,
  debug: LogLevels.debug,
};
/** Names of the log levels; the first logs least. */
export const logLevels = Object.keys(levels) as (keyof typeof levels)[];

/** Logs to stderr, one line per message: `sender: capture: text`. `withTag` makes a logger with a tag. */
export const log = createConsola({
  level: levels.info,
  throttle: 0,
  reporters: [
    {
      log({ tag, type, args }) {
        const label = type === "warn" || type === "error" ? `${type}: ` : "";
        const where = tag === "" ? "" : `${tag.replaceAll(":", ": ")}: `;
        const line = `${toolName}: ${where}${label}${oneLine(args.join(" "))}\n`;
        writeStderr(prioritized(type, line));
      },
    },
  ],
});

/** Whether `log.debug` shows anything. Ask before text is made for every request. */
export const logsDebug = (): boolean => log.level >= levels.debug;

let toolName = "framepass";

/** The name of the level that is set. */
export const logLevel = () => logLevels.find((name) => levels[name] === log.level) ?? "info";

/** Replaces control characters. Names of files, hosts and devices come from outside: they must not control the terminal. */
export const oneLine = (text: string) =>
  text.replace(/\p{Cc}/gu, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);

/** Logs an unexpected error with its stack trace. */
export function logDefect(error: unknown): void {
  writeStderr(prioritized("error", `${toolName}: error: ${Bun.inspect(error)}\n`));
}

/** Sets the name that every line starts with, and the level. */
export function setUpLog(name: string, level: keyof typeof levels): void {
  toolName = name;
  nameStderr(name);
  log.level = levels[level];
}
