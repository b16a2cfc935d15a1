// What every tool does: parse options, print help, report a failure in one line, set the exit status. options.ts parses,
// because citty accepts unknown options, surplus words and missing values. citty renders the help.
import { readFileSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";
import type { ArgsDef } from "citty";
import { asSysError, SysError } from "../../ffi/errno.ts";
import {
  exitCodes,
  exitStatus,
  failureFields,
  isExpected,
  ReaderLeft,
  UnavailableError,
  UsageError,
} from "../errors.ts";
import { Loop } from "../loop.ts";
import { log, logDefect, logLevels, setUpLog } from "./log.ts";
import {
  defaultText,
  type Operand,
  type Operands,
  type Options,
  parseOptions,
  rangeText,
  type Values,
  valueText,
} from "./options.ts";
import { printOut, Records } from "./stdout.ts";
import { endStatus, flushStderr, hasEscapes } from "./terminal.ts";
import { versionLine } from "./version.ts";
import { checkWords } from "./words.ts";

/** What `run` of a tool gets besides its options. */
export interface Context {
  readonly loop: Loop;
  /** Aborts on SIGINT, SIGTERM and SIGHUP. Then stop the stream, release everything and return "stopped". */
  readonly signal: AbortSignal;
}

/** How a tool ended without error: "stopped" means by a signal. */
export type Outcome = "done" | "stopped";

export interface Tool<O extends Options = Options, P extends Operands = Operands> {
  /** As users call it: "receiver_sdl". */
  readonly name: string;
  readonly summary: string;
  /** A subcommand without a link: users type "framepass NAME". */
  readonly unlinked?: true;
  /** A correct command line, printed after a wrong one. For tools whose options alone do not show what to type. */
  readonly example?: string;
  readonly options: O;
  /** Words without a dash, in order. Without these rows such words are refused. */
  readonly operands?: P;
  /** Lines that --version --verbose adds: the libraries that are loaded at run time, and their licences. */
  readonly libraries?: () => readonly string[];
  run(values: Values<O & P>, context: Context): Promise<Outcome>;
}

/** Options every tool has. */
const common = {
  "log-level": {
    type: "choice",
    choices: logLevels,
    default: "info",
    help: "how much is logged on stderr",
  },
  help: { short: "h", type: "flag", help: "show this text" },
  version: { short: "V", type: "flag", help: "show version, commit and target" },
} as const satisfies Options;

/** All options of a tool: its own and those that every tool has. */
export const optionsOf = (tool: Pick<Tool, "options">): Options => ({ ...tool.options, ...common });

/** Defines a tool; `run` gets its options with their types. */
export function defineTool<
  const O extends Options,
  const P extends Operands = Record<never, never>,
>(tool: Tool<O, P>): Tool<O, P> {
  return tool;
}

/** Runs a tool with the words after its name and ends the process with its status. */
export async function runMain<O extends Options, P extends Operands>(
  tool: Tool<O, P>,
  argv: readonly string[] = process.argv.slice(2),
): Promise<never> {
  setUpLog(calledAs(tool), "info");
  const status = await runTool(tool, argv);
  endStatus();
  flushStderr();
  process.exit(status);
}

async function runTool<O extends Options, P extends Operands>(
  tool: Tool<O, P>,
  argv: readonly string[],
): Promise<number> {
  let json = false;
  try {
    // --help and --version work even when required options are missing.
    const asked = ["--help", "-h", "--version", "-V"].find((word) => argv.includes(word));
    if (asked !== undefined) {
      await printOut(/^--?h/.test(asked) ? await helpText(tool) : versionText(tool, argv));
      return exitCodes.done.status;
    }
    checkWords(argv);
    const options = { ...tool.options, ...common };
    const values = parseOptions(options, argv, tool.operands);
    setUpLog(calledAs(tool), values["log-level"]);
    json = wantsRecords(values);
    const outcome = await runStoppable(tool, values as unknown as Values<O & P>);
    return exitCodes[outcome].status;
  } catch (caught) {
    const error = asSysError(caught) ?? caught;
    endStatus();
    if (json) writeFailure(error);
    if (error instanceof ReaderLeft) log.info(error.message);
    else if (error instanceof UsageError) log.error(usageText(error, tool));
    else if (error instanceof UnavailableError)
      log.fatal(error.message); // without "error: "
    else if (isExpected(error) || (error instanceof Error && isOutOfMemory(error)))
      log.error(expectedText(error));
    else logDefect(error);
    return exitStatus(error);
  }
}

function versionText({ libraries }: Pick<Tool, "libraries">, argv: readonly string[]): string {
  const more = argv.includes("--verbose") ? (libraries?.() ?? []) : [];
  return [versionLine(), ...more].join("\n");
}

/** What users type to call the tool. */
const calledAs = ({ name, unlinked }: Pick<Tool, "name" | "unlinked">) =>
  unlinked === true ? `framepass ${name}` : name;

function usageText({ message }: UsageError, tool: Pick<Tool, "name" | "unlinked" | "example">) {
  const example = tool.example === undefined ? "" : `for example: ${tool.example}; `;
  return `${message}; ${example}see ${calledAs(tool)} --help`;
}

/** The runtime's error for memory that it does not get. */
const isOutOfMemory = (error: unknown): boolean =>
  error instanceof RangeError && /out of memory|allocation failed/i.test(error.message);

/** What to do when the process has reached one of its limits, whatever call noticed it. */
const limitAdvice: Readonly<Record<string, string>> = {
  ENOMEM: "use smaller or fewer buffers, free memory, or raise a limit (ulimit -v)",
  EMFILE: "raise the limit of open files (ulimit -n, LimitNOFILE=)",
};

function expectedText(error: Error): string {
  const code = error instanceof SysError ? error.code : isOutOfMemory(error) ? "ENOMEM" : "";
  const advice = limitAdvice[code];
  return advice === undefined ? error.message : `${error.message}; ${advice}`;
}

/** Whether the tool writes JSON records to stdout. A command line that wants frames there as well is refused. */
const wantsRecords = (values: object) => {
  const output = "output" in values ? [values.output].flat() : [];
  return "json" in values && values.json === true && !output.includes("-");
};

/** Writes the error that ends the tool as a JSON record, if stdout still takes one. */
function writeFailure(error: unknown): void {
  try {
    using records = new Records();
    records.write({ record: "failure", ...failureFields(error), status: exitStatus(error) });
    records.flush();
  } catch {
    // The line on stderr has the reason.
  }
}

/** Signals that ask a program to end; SIGHUP when its terminal was closed. */
const stopSignals = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/** Whether the process was started with the signal ignored, as nohup does: then it stays ignored. */
function isIgnored(number: number): boolean {
  const [, mask = "0"] =
    /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  return ((BigInt(`0x${mask}`) >> BigInt(number - 1)) & 1n) === 1n;
}

async function runStoppable<O extends Options, P extends Operands>(
  tool: Tool<O, P>,
  values: Values<O & P>,
): Promise<Outcome> {
  using loop = new Loop();
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  for (const [name, number] of Object.entries(stopSignals)) {
    const ignored = name === "SIGHUP" && isIgnored(number);
    if (!ignored) process.on(name, onSignal);
  }
  return await loop.run(tool.run(values, { loop, signal: stop.signal }));
}

async function helpText<O extends Options, P extends Operands>(tool: Tool<O, P>): Promise<string> {
  const { renderUsage } = await import("citty");
  const options = optionsOf(tool);
  const args: ArgsDef = {};
  for (const [name, operand] of Object.entries<Operand>(tool.operands ?? {})) {
    const description = `${operand.help}${rangeText(operand)}`;
    args[operand.value ?? name] = { type: "positional", description, required: true };
  }
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
            valueHint: valueText(option),
            ...about,
            ...("default" in option && { default: defaultText(option) }),
          };
  }
  const usage = await renderUsage({
    meta: { name: calledAs(tool), description: tool.summary },
    args,
  });
  const codes = Object.values(exitCodes).map(({ status, meaning }) => `${status} ${meaning}`);
  const plain = process.stdout.isTTY && hasEscapes ? usage : stripVTControlCharacters(usage);
  const trimmed = plain.replace(/ +$/gm, "").trimEnd();
  return `${trimmed}\n\nEXIT STATUS  ${codes.join(", ")}`;
}
