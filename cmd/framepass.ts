// The main executable: selects a tool by the name it was called with, or by its first word.
import { basename } from "node:path";
import { prioritized } from "../src/cli/journal.ts";
import { oneLine } from "../src/cli/log.ts";
import { printOut } from "../src/cli/stdout.ts";
import { runSubcommand, type Subcommand } from "../src/cli/subcommands.ts";
import { nearest, probablyMeant } from "../src/cli/suggest.ts";
import { flushStderr, writeStderr } from "../src/cli/terminal.ts";
import { help, runMain } from "../src/cli/tool.ts";
import { versionLine } from "../src/cli/version.ts";
import { exitStatus, UsageError } from "../src/errors.ts";
import { about } from "./tool-rows.ts";
import { findTool, type LoadableTool, relativesWith, tools } from "./tools.ts";

/** The column of the summaries. */
const COLUMN = 20;

const linked = findTool(basename(process.argv0));
if (linked !== undefined) await run(linked, process.argv.slice(2), linked.name);

/** The subcommands that are no tool. */
const own: readonly Subcommand[] = [
  {
    name: "help",
    summary: "show this text, or the options of a tool",
    run: async ([name]) => await printOut(await helpAbout(name)),
  },
  {
    name: "version",
    summary: "show version, commit and target",
    run: async () => await printOut(versionLine()),
  },
];
const subcommands = [...tools.map(asSubcommand), ...own];
/** Options that do what a subcommand does. */
const asOptions = { "--help": "help", "-h": "help", "--version": "version", "-V": "version" };

try {
  const [word = "", ...rest] = process.argv.slice(2);
  const name = findTool(word)?.name ?? (asOptions as Record<string, string>)[word] ?? word;
  const names = subcommands.map((row) => row.name);
  if (!names.includes(name)) throw noTool(word, names);
  await runSubcommand({ name: "framepass", summary: about.summary }, subcommands, name, rest);
} catch (error) {
  const line = `framepass: error: ${oneLine((error as Error).message)}\n`;
  writeStderr(prioritized("error", line));
  flushStderr();
  process.exitCode = exitStatus(error);
}

/** Loads the tool only when it is called; the process ends with it. */
function asSubcommand(tool: LoadableTool): Subcommand {
  const { name, summary } = tool;
  return { name, summary, run: async (words) => await run(tool, words, `framepass ${name}`) };
}

async function run({ name, load }: LoadableTool, words: readonly string[], called: string) {
  await runMain(await load(), words, called, (option) => relativesWith(name, option));
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
  if (meant !== undefined) return new UsageError(`${wrong}${probablyMeant(meant)}`);
  return new UsageError(`${wrong}; choose one of ${names().join(", ")}, or --help`);
}

function names(): string[] {
  return tools.map(({ name }) => name);
}

async function usage(): Promise<string> {
  const { entry } = await import("../src/cli/help.ts");
  return [
    `framepass: ${about.summary}`,
    "",
    "Usage: framepass TOOL [OPTIONS]",
    "       (or call a link to this file that is named like the tool)",
    "",
    ...tools.flatMap((tool) => entry(tool.name, tool.summary, COLUMN)),
    "",
    ...own.flatMap((row) => entry(row.name, row.summary, COLUMN)),
    "",
    `${about.firstSteps.where}:`,
    ...about.firstSteps.examples.flatMap(({ does, line }) => [`  # ${does}`, `  ${line}`]),
  ].join("\n");
}
