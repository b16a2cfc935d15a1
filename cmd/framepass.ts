// The main executable: selects a tool by the name it was called with, or by its first word.
import { basename } from "node:path";
import { printOut } from "../src/cli/stdout.ts";
import { didYouMean, nearest } from "../src/cli/suggest.ts";
import { flushStderr, writeStderr } from "../src/cli/terminal.ts";
import { help, runMain } from "../src/cli/tool.ts";
import { versionLine } from "../src/cli/version.ts";
import { exitStatus, UsageError } from "../src/errors.ts";
import { summary } from "./tool-rows.ts";
import { findTool, tools } from "./tools.ts";

/** The column of the summaries. */
const COLUMN = 20;

const linked = findTool(basename(process.argv0));
const [word = "", ...rest] = process.argv.slice(2);
const chosen = linked ?? findTool(word);

if (chosen !== undefined) {
  const tool = await chosen.load();
  if (linked !== undefined) await runMain(tool, process.argv.slice(2), linked.name);
  else await runMain(tool, rest, `framepass ${tool.name}`);
}

try {
  await printOut(await answer());
} catch (error) {
  writeStderr(`framepass: error: ${(error as Error).message}\n`);
  flushStderr();
  process.exitCode = exitStatus(error);
}

/** The answer to words that name no tool. Throws UsageError. */
async function answer(): Promise<string> {
  if (["help", "--help", "-h"].includes(word)) return await helpAbout(rest[0]);
  if (["version", "--version", "-V"].includes(word)) return versionLine();
  throw noTool(word, [...names(), "help", "version"]);
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
    ...entry("help [TOOL]", "show this text, or the options of a tool", COLUMN),
    ...entry("version", "show version, commit and target", COLUMN),
  ].join("\n");
}
