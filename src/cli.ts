// A tool from the outside: options, help, one line for a failure, exit status. Options are read strictly by
// options.ts, because citty takes unknown ones, surplus words and missing values; citty renders the help.
import { stripVTControlCharacters } from "node:util";
import type { ArgsDef } from "citty";
import { exitCodes, exitStatus, isExpected, UsageError } from "./errors.ts";
import { log, logDefect, logLevels, setUpLog } from "./log.ts";
import { Loop } from "./loop.ts";
import { type Options, parseOptions, rangeText, type Values } from "./options.ts";
import { printOut } from "./stdout.ts";
import { endStatus } from "./terminal.ts";
import { versionLine } from "./version.ts";

/** What a tool's `run` gets besides its options. */
export interface Context {
  readonly loop: Loop;
  /** Aborts on SIGINT and SIGTERM: stop the stream, let go of everything, return "stopped". */
  readonly signal: AbortSignal;
}

/** How a tool ended: all was done, or a signal stopped it. */
export type Outcome = "done" | "stopped";

export interface Tool<O extends Options = Options> {
  /** As users call it: "receiver_sdl". */
  readonly name: string;
  readonly summary: string;
  readonly options: O;
  run(values: Values<O>, context: Context): Promise<Outcome>;
}

/** Options every tool has. */
const common = {
  "log-level": {
    type: "choice",
    choices: logLevels,
    default: "info",
    help: "how much is said on stderr",
  },
  help: { short: "h", type: "flag", help: "show this text" },
  version: { short: "V", type: "flag", help: "show version, commit and target" },
} as const satisfies Options;

/** Defines a tool; `run` sees its options with their types. */
export function defineTool<const O extends Options>(tool: Tool<O>): Tool<O> {
  return tool;
}

/** Runs a tool with the words after its name and ends the process with its status. */
export async function runMain<O extends Options>(
  tool: Tool<O>,
  argv: readonly string[] = process.argv.slice(2),
): Promise<never> {
  setUpLog(tool.name, "info");
  const status = await runTool(tool, argv);
  endStatus();
  process.exit(status);
}

async function runTool<O extends Options>(tool: Tool<O>, argv: readonly string[]): Promise<number> {
  try {
    // Asking for help or version wins over anything that may be missing.
    const asked = ["--help", "-h", "--version", "-V"].find((word) => argv.includes(word));
    if (asked !== undefined) {
      await printOut(/^--?h/.test(asked) ? await helpText(tool) : versionLine());
      return exitCodes.done.status;
    }
    const options = { ...tool.options, ...common };
    const values = parseOptions(options, argv);
    setUpLog(tool.name, values["log-level"]);
    const outcome = await runStoppable(tool, values as unknown as Values<O>);
    return exitCodes[outcome].status;
  } catch (error) {
    endStatus();
    if (error instanceof UsageError) log.error(`${error.message}; see ${tool.name} --help`);
    else if (isExpected(error)) log.error(error.message);
    else logDefect(error);
    return exitStatus(error);
  }
}

async function runStoppable<O extends Options>(tool: Tool<O>, values: Values<O>): Promise<Outcome> {
  using loop = new Loop();
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return await loop.run(tool.run(values, { loop, signal: stop.signal }));
}

async function helpText<O extends Options>(tool: Tool<O>): Promise<string> {
  const { renderUsage } = await import("citty");
  const options: Options = { ...tool.options, ...common };
  const args: ArgsDef = {};
  for (const [name, option] of Object.entries(options)) {
    const about = {
      description: `${option.help}${rangeText(option)}`,
      ...(option.short !== undefined && { alias: option.short }),
      ...("required" in option && { required: true }),
    };
    args[name] =
      option.type === "flag"
        ? { type: "boolean", ...about }
        : {
            type: "string",
            valueHint: option.value ?? option.type.toUpperCase(),
            ...about,
            ...("default" in option && { default: String(option.default) }),
          };
  }
  const usage = await renderUsage({ meta: { name: tool.name, description: tool.summary }, args });
  const codes = Object.values(exitCodes).map(({ status, meaning }) => `${status} ${meaning}`);
  const plain = process.stdout.isTTY ? usage : stripVTControlCharacters(usage);
  const trimmed = plain.replace(/ +$/gm, "").trimEnd();
  return `${trimmed}\n\nEXIT STATUS  ${codes.join(", ")}`;
}
