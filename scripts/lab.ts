// `bun run lab [NAME...]`: runs the scenarios of the guest lab. Exit status 0 all checks hold, 1 some do not,
// 2 unknown name, 3 this host cannot run the lab.

import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { ensureLabTools } from "../test/lab/guest.ts";
import { fetchKernel } from "../test/lab/kernel.ts";
import { runScenario, type Scenario } from "../test/lab/lab.ts";
import { type Counts, countsLine, runInProcess, runSideBySide } from "../test/lab/side-by-side.ts";
import { ensureNpm, projectDir } from "./ensure.ts";
import { processorSeconds, timesText } from "./processor-time.ts";

const scenarioDir = join(projectDir, "test/lab/scenarios");

/** Runs the scenarios named, or all of them. */
export async function runLab(names: readonly string[]): Promise<Counts> {
  ensureNpm();
  const scenarios = await findScenarios(names);
  ensureLabTools();
  await buildExecutable();
  const [first] = scenarios;
  const alone = scenarios.length === 1 && first !== undefined;
  if (!alone) await fetchKernel(); // once: all of them need it
  const counts = alone ? await runTimed(first) : await runSideBySide(scenarios, runInProcess);
  process.stdout.write(`${countsLine(counts)}\n`);
  return counts;
}

/** Runs one scenario and prints what it has cost. */
async function runTimed(scenario: Scenario): Promise<Counts> {
  const from = { ms: performance.now(), processor: processorSeconds() };
  const { passed, failed } = await runScenario(scenario);
  const seconds = (performance.now() - from.ms) / 1000;
  const text = timesText(seconds, processorSeconds() - from.processor);
  process.stdout.write(`== ${scenario.name}: ${text}\n`);
  return { passed, failed };
}

/** The scenarios named, all of them when none is, in the order of their files. */
async function findScenarios(names: readonly string[]): Promise<readonly Scenario[]> {
  const all = new Map<string, Scenario>();
  for (const file of readdirSync(scenarioDir).sort()) {
    const { scenario } = (await import(join(scenarioDir, file))) as { scenario: Scenario };
    all.set(scenario.name, scenario);
  }
  const unknown = names.find((name) => !all.has(name));
  if (unknown !== undefined) {
    process.stderr.write(`no scenario ${unknown}; there are ${[...all.keys()].join(", ")}\n`);
    process.exit(2);
  }
  return [...all.values()].filter(({ name }) => names.length === 0 || names.includes(name));
}

/** Builds dist/framepass when a source is newer. */
async function buildExecutable(): Promise<void> {
  const executable = join(projectDir, "dist/framepass");
  const sources = ["cmd", "src", "ffi", "scripts/compile.ts", "package.json", "bun.lock"];
  const newest = Math.max(...sources.map((path) => newestChange(join(projectDir, path))));
  if (existsSync(executable) && statSync(executable).mtimeMs >= newest) return;
  const build = Bun.spawnSync([process.execPath, "run", "build"], {
    cwd: projectDir,
    stdin: "ignore",
    timeout: 120_000,
  });
  if (build.exitCode === 0) return;
  throw new Error(`bun run build: ${build.stderr.toString().trim().split("\n").at(-1)}`);
}

function newestChange(path: string): number {
  if (!existsSync(path)) return 0;
  const own = statSync(path);
  if (!own.isDirectory()) return own.mtimeMs;
  return Math.max(own.mtimeMs, ...readdirSync(path).map((name) => newestChange(join(path, name))));
}

async function main(args: readonly string[]): Promise<number> {
  const unknown = args.find((word) => word.startsWith("-") && word !== "--list");
  if (unknown !== undefined) {
    process.stderr.write(`unknown option ${unknown}; usage: bun run lab [--list] [NAME...]\n`);
    return 2;
  }
  if (args.includes("--list")) {
    for (const { name, title } of await findScenarios([])) {
      process.stdout.write(`${name.padEnd(16)} ${title}\n`);
    }
    return 0;
  }
  return (await runLab(args)).failed === 0 ? 0 : 1;
}

if (import.meta.main) {
  // To exit is enough: the guests end with this process, and its exit handler removes their files.
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));
  process.exitCode = await main(process.argv.slice(2)).catch((error: Error) => {
    process.stderr.write(`lab: ${error.message}\n`);
    return 1;
  });
}
