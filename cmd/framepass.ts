// The main executable: selects a tool by the name it was called with, or by its first word.
import { basename } from "node:path";
import { type CommandDef, defineCommand, runCommand } from "citty";
import { printOut } from "../src/cli/stdout.ts";
import { didYouMean, nearest } from "../src/cli/suggest.ts";
import { flushStderr, writeStderr } from "../src/cli/terminal.ts";
import { help, runMain } from "../src/cli/tool.ts";
import { versionLine } from "../src/cli/version.ts";
import { exitStatus, UsageError } from "../src/errors.ts";
import { summary } from "./tool-rows.ts";
import { findTool, type LoadableTool, tools } from "./tools.ts";

/** The column of the summaries. */
const COLUMN = 20;

/** The subcommands that are no tool. */
const own = {
  help: "show this text, or the options of a tool",
  version: "show version, commit and target",
} as const;

const linked = findTool(basename(process.argv0));
if (linked !== undefined) await runMain(await linked.load(), process.argv.slice(2), linked.name);

/** The subcommands: the tools, help and version. What follows their name is theirs: our parser is stricter than citty's. */
const commands = new Map<string, CommandDef>([
  ...tools.map((row) => [row.name, subcommand(row)] as const),
  ["help", saying(own.help, ([name]) => helpAbout(name))],
  ["version", saying(own.version, () => versionLine())],
]);
/** Options that do what a subcommand does. */
const asOptions = { "--help": "help", "-h": "help", "--version": "version", "-V": "version" };

try {
  const [word = "", ...rest] = process.argv.slice(2);
  const name = findTool(word)?.name ?? (asOptions as Record<string, string>)[word] ?? word;
  if (!commands.has(name)) throw noTool(word, [...commands.keys()]);
  await runCommand(main(), { rawArgs: [name, ...rest] });
} catch (error) {
  writeStderr(`framepass: error: ${(error as Error).message}\n`);
  flushStderr();
  process.exitCode = exitStatus(error);
}

function main(): CommandDef {
  const meta = { name: "framepass", description: summary };
  return defineCommand({ meta, subCommands: Object.fromEntries(commands) });
}

/** Loads the tool only when it is called; the process ends with it. */
function subcommand({ name, summary: description, load }: LoadableTool): CommandDef {
  return defineCommand({
    meta: { name, description },
    run: async ({ rawArgs }) => await runMain(await load(), rawArgs, `framepass ${name}`),
  });
}

function saying(
  description: string,
  answer: (words: readonly string[]) => string | Promise<string>,
): CommandDef {
  return defineCommand({
    meta: { description },
    run: async ({ rawArgs }) => await printOut(await answer(rawArgs)),
  });
}

async function helpAbout(name: string | undefined): Promise<string> {
  if (name === undefined || name.startsWith("-")) return await usage();
  const tool = await findTool(name)?.load();
  if (tool === undefined) throw noTool(name, names());
  return await help(tool, `framepass ${tool.name}`);
}

function noTool(name: string, candidates: readonly string[]): UsageError {
  const wrong = name === "" ? "no tool was named" : `there is no tool "${name}"`;
  const meant = nearest(name, candidates);
  if (meant !== undefined) return new UsageError(`${wrong}${didYouMean(meant)}`);
  return new UsageError(`${wrong}; choose one of ${names().join(", ")}, or --help`);
}

function names(): string[] {
  return tools.map(({ name }) => name);
}

async function usage(): Promise<string> {
  const { entry } = await import("../src/cli/help.ts");
  return [
    `framepass: ${summary}`,
    "",
    "Usage: framepass TOOL [OPTIONS]",
    "       (or call a link to this file that is named like the tool)",
    "",
    ...tools.flatMap((tool) => entry(tool.name, tool.summary, COLUMN)),
    "",
    ...entry("help [TOOL]", own.help, COLUMN),
    ...entry("version", own.version, COLUMN),
  ].join("\n");
}
