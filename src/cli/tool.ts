// What every tool does: parse options, print help, report a failure in one line, set the exit status.
import { basename } from "node:path";
import { asSysError, SysError } from "../../ffi/errno.ts";
import { runtimePoll } from "../../ffi/runtime-poll.ts";
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
import { log, logDefect, setUpLog } from "./log.ts";
import type { Operands, Options, Values } from "./options.ts";
import { COMPILED } from "./own-program.ts";
import { parseOptions } from "./parse-options.ts";
import { hasBit } from "./process-mask.ts";
import { scheduleFrames } from "./realtime.ts";
import { reportingTo, service } from "./service.ts";
import { serviceVariables } from "./service-variables.ts";
import { givingBackPages } from "./start-pages.ts";
import { printOut, Records } from "./stdout.ts";
import { endStatus, flushStderr, hasEscapes, stderrRetries } from "./terminal.ts";
import { calledAs, common, exampleLine, type ToolText } from "./tool-text.ts";
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

export interface Tool<O extends Options = Options, P extends Operands = Operands> extends ToolText {
  readonly options: O;
  readonly operands?: P;
  /** Lines that --version --verbose adds: the libraries that are loaded at run time, and their licences. */
  readonly libraries?: () => readonly string[];
  run(values: Values<O & P>, context: Context): Promise<Outcome>;
}

/** Defines a tool; `run` gets its options with their types. */
export function defineTool<
  const O extends Options,
  const P extends Operands = Record<never, never>,
>(tool: Tool<O, P>): Tool<O, P> {
  return tool;
}

/** The names of the tools, of the kind of the one that runs, that have an option: "--share". */
export type ToolsWith = (option: string) => Promise<readonly string[]>;

/**
 * Runs a tool with the words after its name and ends the process with its status. `called` is what users type to call it;
 * without it the executable is called by its own name. `toolsWith` finds the other tools of the executable that have an option.
 */
export async function runMain<O extends Options, P extends Operands>(
  tool: Tool<O, P>,
  argv: readonly string[] = process.argv.slice(2),
  called = ownName(tool),
  toolsWith?: ToolsWith,
): Promise<never> {
  setUpLog(calledAs(tool), "info");
  const status = await runTool(tool, argv, called, toolsWith);
  endStatus();
  flushStderr();
  process.exit(status);
}

async function runTool<O extends Options, P extends Operands>(
  tool: Tool<O, P>,
  argv: readonly string[],
  called: string,
  toolsWith?: ToolsWith,
): Promise<number> {
  let json = false;
  try {
    // --help and --version work even when required options are missing.
    const asked = argv.find((word) => /^(?:--help|--version|-[hV]+)$/.test(word));
    if (asked !== undefined) {
      await printOut(/^--?h/.test(asked) ? await help(tool, called) : versionText(tool, argv));
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
    else if (error instanceof UsageError) {
      const hint = await hintAt(error, toolsWith);
      log.error(usageText(`${error.message}${hint}`, tool, called));
    } else if (error instanceof UnavailableError)
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

/** The help of a tool; loaded only now, because a stream does not need it. */
export async function help(tool: ToolText, called: string): Promise<string> {
  const { helpText } = await import("./help.ts");
  const styled = process.stdout.isTTY === true && hasEscapes && !process.env.NO_COLOR;
  return helpText(tool, { called, styled });
}

/** What users type to call a tool that is an executable of its own: the name that the file has now. */
const ownName = (tool: ToolText) =>
  Bun.main.startsWith(COMPILED) ? basename(process.argv0) : calledAs(tool);

/** "; sender_zc has it" for an option that a tool does not have; otherwise "". */
async function hintAt({ unknownOption }: UsageError, toolsWith?: ToolsWith): Promise<string> {
  if (unknownOption === undefined || toolsWith === undefined) return "";
  const names = await toolsWith(unknownOption);
  return names.length === 0
    ? ""
    : `; ${names.join(" and ")} ${names.length > 1 ? "have" : "has"} it`;
}

function usageText(message: string, tool: ToolText, called: string) {
  const [first] = tool.operands === undefined ? [] : tool.examples;
  const example = first === undefined ? "" : `for example: ${exampleLine(tool, first, called)}; `;
  return `${message}; ${example}see ${called} --help`;
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
const isIgnored = (number: number) => hasBit("SigIgn", number - 1);

/** What a tool does where nothing ends its waits for the runtime. */
const LOOKS = "the tool looks for signals every 100 ms, also when it is idle";

async function runStoppable<O extends Options, P extends Operands>(
  tool: Tool<O, P>,
  values: Values<O & P>,
): Promise<Outcome> {
  const poll = await runtimePoll();
  using loop = new Loop();
  if (poll === undefined) log.debug(`the runtime's epoll was not found: ${LOOKS}`);
  else {
    loop.endWaitsBy({
      fd: poll,
      timers: stderrRetries,
      gaveUp: () => log.warn(`the runtime is woken and does nothing: ${LOOKS}`),
    });
  }
  using _pages = givingBackPages(loop);
  using _reports = reportingTo(loop, serviceVariables);
  const stop = new AbortController();
  const onSignal = () => {
    service.stopping();
    stop.abort();
  };
  for (const [name, number] of Object.entries(stopSignals)) {
    const ignored = name === "SIGHUP" && isIgnored(number);
    if (!ignored) process.on(name, onSignal);
  }
  if ("realtime" in values) scheduleFrames(values.realtime === true);
  return await loop.run(tool.run(values, { loop, signal: stop.signal }));
}
