// The main executable: selects a tool by the name it was called with, or by its first word.
import { basename } from "node:path";
import { printOut } from "../src/cli/stdout.ts";
import { flushStderr, writeStderr } from "../src/cli/terminal.ts";
import { runMain } from "../src/cli/tool.ts";
import { versionLine } from "../src/cli/version.ts";
import { exitCodes, exitStatus } from "../src/errors.ts";
import { findTool, tools } from "./tools.ts";

const called = findTool(basename(process.argv0));
const [word = "", ...rest] = process.argv.slice(2);
const chosen = called ?? findTool(word);

if (chosen !== undefined) {
  const tool = await chosen.load();
  await runMain(tool, called === undefined ? rest : process.argv.slice(2));
}

const usage = [
  "framepass: camera video between virtual machines",
  "",
  "usage: framepass TOOL [OPTIONS]    (or call a link to this file that is named like the tool)",
  "",
  ...tools.map(({ name, summary }) => `  ${name.padEnd(18)}${summary}`),
  "",
  "framepass TOOL --help lists the options of a tool; framepass --version prints the version.",
].join("\n");

if (word === "--version" || word === "--help") {
  const failure = await printOut(word === "--help" ? usage : versionLine()).catch(
    (error: Error) => error,
  );
  if (failure !== undefined) {
    writeStderr(`framepass: error: ${failure.message}\n`);
    process.exitCode = exitStatus(failure);
  }
} else {
  const wrong = word === "" ? "no tool was named" : `there is no tool "${word}"`;
  const names = tools.map(({ name }) => name).join(", ");
  writeStderr(`framepass: error: ${wrong}; choose one of ${names}, or --help\n`);
  flushStderr();
  process.exitCode = exitCodes.usage.status;
}
