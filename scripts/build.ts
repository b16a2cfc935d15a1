// `bun run build`: dist/framepass, a link and a manual page per tool. `bun run build TOOL`: that tool alone. `bun run build --all`:
// the executables for the four Linux targets, with SHA256SUMS.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LoadableTool } from "../cmd/tools.ts";
import { compile, hostTarget, targets } from "./compile.ts";
import { ensureNpm, projectDir } from "./ensure.ts";

const dist = join(projectDir, "dist");
/** Where `path` is written before it is renamed: another process may read it at the same time. */
const besides = (path: string) => `${path}.${process.pid}`;

/** Builds dist/framepass, its links and the manual pages. */
async function buildAll(): Promise<void> {
  const { tools } = await import("../cmd/tools.ts");
  compile("cmd/framepass.ts", join(dist, "framepass"), hostTarget, false);
  const links = tools.filter(({ unlinked }) => unlinked !== true).map(({ name }) => name);
  for (const name of links) {
    const link = join(dist, name);
    symlinkSync("framepass", besides(link));
    renameSync(besides(link), link);
  }
  console.log(`dist/framepass, and links to it: ${links.join(", ")}`);
  await writeManuals(tools);
}

/** Writes a manual page per tool, where `man -M dist/man` finds them. */
async function writeManuals(tools: readonly LoadableTool[]): Promise<void> {
  const { mainPage, manPage, pageName } = await import("../src/cli/man.ts");
  const { calledAs } = await import("../src/cli/tool-text.ts");
  const { about } = await import("../cmd/tool-rows.ts");
  const section = join(dist, "man", "man1");
  mkdirSync(section, { recursive: true });
  writeFileSync(
    join(section, "framepass.1"),
    mainPage(
      about,
      tools.map((row) => ({ ...row, called: calledAs(row) })),
    ),
  );
  for (const row of tools) {
    const called = calledAs(row);
    writeFileSync(join(section, `${pageName(called)}.1`), manPage(await row.load(), called));
  }
  console.log("dist/man/man1: their manual pages");
}

/** Builds one tool as an executable of its own. */
async function buildTool(word: string): Promise<number> {
  const { findTool, tools } = await import("../cmd/tools.ts");
  const tool = findTool(word);
  if (tool === undefined) {
    console.error(`no tool ${word}; there are ${tools.map(({ name }) => name).join(", ")}`);
    return 2;
  }
  if (tool.whole) {
    console.error(`${tool.name} is a part of the executable of all tools: bun run build`);
    return 2;
  }
  const outfile = join(dist, tool.name);
  compile(`cmd/${tool.name.replaceAll("_", "-")}.ts`, outfile, hostTarget, false);
  console.log(`dist/${tool.name}`);
  return 0;
}

function buildTargets(): void {
  const sums = targets.map((target) => {
    const name = `framepass-${target}`;
    compile("cmd/framepass.ts", join(dist, name), target, true);
    console.log(`dist/${name}`);
    const sum = createHash("sha256")
      .update(readFileSync(join(dist, name)))
      .digest("hex");
    return `${sum}  ${name}\n`;
  });
  writeFileSync(join(dist, "SHA256SUMS"), sums.join(""));
  console.log("dist/SHA256SUMS");
}

ensureNpm();
mkdirSync(dist, { recursive: true });
const [word, ...rest] = process.argv.slice(2);
if (rest.length > 0 || (word?.startsWith("-") && word !== "--all")) {
  console.error("usage: bun run build [TOOL | --all]");
  process.exitCode = 2;
} else if (word === "--all") buildTargets();
else if (word === undefined) await buildAll();
else process.exitCode = await buildTool(word);
