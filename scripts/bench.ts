// `bun run bench [NAME [PART]] [--json] [--against FILE]`: measures our code and a baseline in turn, in one run, and says which
// bars were met and what has changed since an earlier run. Exit status 0, 1 a bar was missed or a figure is worse, 2 usage.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type Operands, type Options, spelled, valueText } from "../src/cli/options.ts";
import { parseOptions } from "../src/cli/parse-options.ts";
import { nearest, probablyMeant } from "../src/cli/suggest.ts";
import { UsageError } from "../src/errors.ts";
import type { Bench, Report } from "../test/bench/bench.ts";
import { compare } from "../test/bench/compare.ts";
import { type Figure, figuresOf, markdown } from "../test/bench/figures.ts";
import {
  commitOf,
  machineLine,
  type Results,
  readResults,
  writeResults,
} from "../test/bench/results.ts";
import { cacheDir, ensureDebian, ensureNpm, projectDir } from "./ensure.ts";

const directory = join(projectDir, "test/bench");
const exits = { done: 0, failed: 1, usage: 2 } as const;

const options = {
  json: { type: "flag", help: "print the results as JSON, and everything else on stderr" },
  against: {
    type: "text",
    value: "FILE",
    help: "compare with the results in FILE: a change of more than 5 % is named",
  },
  help: { type: "flag", alone: true, help: "show this text" },
} as const satisfies Options;
const operands = {
  name: { type: "text", value: "NAME", help: "the bench" },
  part: { type: "text", value: "PART", help: "a part of it" },
} as const satisfies Operands;

/** Where the last results are kept. */
const kept = (words: readonly string[]) => join(cacheDir(), "bench", `${words.join("-")}.json`);

/** All benches: the modules of test/bench that export one. Those of one name run together. */
async function findBenches(): Promise<Map<string, Bench[]>> {
  const modules = readdirSync(directory).filter(
    (name) => /^[a-z-]+\.ts$/.test(name) && !name.endsWith("-side.ts"),
  );
  const found = await Promise.all(
    modules.toSorted().map((name) => import(join(directory, name)) as Promise<{ bench?: Bench }>),
  );
  const benches = found.flatMap(({ bench }) => (bench === undefined ? [] : [bench]));
  return Map.groupBy(benches, ({ name }) => name);
}

function helpText(benches: ReadonlyMap<string, readonly Bench[]>): string {
  const line = (word: string, text: string) => `  ${word.padEnd(24)}${text}`;
  return [
    "Usage: bun run bench [OPTIONS] [NAME [PART]]",
    "",
    "Measures our code and a baseline in turn. Without NAME: all benches.",
    "",
    "Benches:",
    ...[...benches].map(([name, all]) => line(name, all.map(({ title }) => title).join("; "))),
    ...[...benches].flatMap(([name, all]) =>
      all.flatMap(({ parts = [] }) =>
        parts.map((part) => line(`${name} ${part}`, "only this part")),
      ),
    ),
    "",
    "Options:",
    ...Object.entries<Options[string]>(options).map(([name, row]) =>
      line(`${spelled(name, row)}${row.type === "flag" ? "" : ` ${valueText(row)}`}`, row.help),
    ),
    "",
    `The results of the last run are kept in ${kept(["NAME"])}.`,
    "",
    "Exit status:",
    line("0", "every bar was met, and nothing is worse than in FILE"),
    line("1", "a bar was missed, a figure of ours is worse by more than 5 %, or the bench failed"),
    line("2", "wrong usage"),
    line("3", "a Debian package is missing, and only root can install it"),
  ].join("\n");
}

/** The benches to run. */
function chosen(
  benches: ReadonlyMap<string, readonly Bench[]>,
  name: string | undefined,
  part: string | undefined,
): ReadonlyMap<string, readonly Bench[]> {
  if (name === undefined) return benches;
  const all = benches.get(name);
  if (all === undefined) {
    const names = [...benches.keys()];
    const meant = probablyMeant(nearest(name, names));
    throw new UsageError(`no bench "${name}"${meant}; there are ${names.join(", ")}`);
  }
  if (part === undefined) return new Map([[name, all]]);
  const parts = all.flatMap(({ parts: own = [] }) => own);
  const withPart = all.filter(({ parts: own = [] }) => own.includes(part));
  if (withPart.length > 0) return new Map([[name, withPart]]);
  const known = parts.length === 0 ? "it has none" : `there is ${parts.join(", ")}`;
  throw new UsageError(`no part "${part}" of ${name}; ${known}`);
}

function build(): void {
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, "run", "build"], {
    cwd: projectDir,
    timeout: 120_000,
  });
  if (exitCode !== 0) throw new Error(`bun run build: ${stderr.toString().trim()}`);
}

/** Prints what has changed since `before`. True when no figure of ours is worse. */
function printChanges(path: string, before: Results, now: Results, print: Print): boolean {
  const ran = new Set(now.figures.map(({ bench }) => bench));
  const long = (figures: Results["figures"]) =>
    figures
      .filter(({ bench }) => ran.has(bench))
      .map((figure): Figure => ({ ...figure, name: `${figure.bench}: ${figure.name}` }));
  const { changes, compared, missing, added } = compare(long(before.figures), long(now.figures));
  print(`\nagainst ${path} (${before.date}, ${before.commit}):`);
  if (before.machine !== now.machine) print(`on another machine: ${before.machine}`);
  for (const { line } of changes) print(line);
  for (const name of missing) print(`no longer measured: ${name}`);
  for (const name of added) print(`new: ${name}`);
  print(`${compared} figures compared, ${changes.length} changed by more than 5 %`);
  return changes.every(({ verdict }) => verdict !== "worse");
}

type Print = (text: string) => void;

async function run(words: readonly string[]): Promise<number> {
  const values = parseOptions(options, words, operands);
  const { json, against, name, part } = values;
  const benches = await findBenches();
  if (values.help) {
    console.log(helpText(benches));
    return exits.done;
  }
  const toRun = chosen(benches, name, part);
  const before = against === undefined ? undefined : readResults(against);
  if (before?.figures.every(({ bench }) => !toRun.has(bench)))
    throw new UsageError(
      `--against ${against}: no figure of ${[...toRun.keys()].join(", ")} is in it`,
    );
  ensureDebian([
    { package: "gcc", provides: "gcc" },
    { package: "libc6-dev", provides: "/usr/include/stdio.h" },
  ]);
  const print: Print = (text) => void (json ? process.stderr : process.stdout).write(`${text}\n`);
  build();
  const about = {
    machine: machineLine(),
    command: ["bun run bench", ...words].join(" "),
    date: new Date().toISOString(),
    commit: commitOf(projectDir),
  };
  print(`machine: ${about.machine}`);
  const figures: (Figure & { bench: string })[] = [];
  for (const [bench, modules] of toRun) {
    const own: typeof figures = [];
    const report: Report = {
      line: print,
      table: (table) => {
        print(markdown(table).trimEnd());
        own.push(...figuresOf(table).map((figure) => ({ bench, ...figure })));
      },
    };
    for (const one of modules) {
      print(`\n${bench}: ${one.title}`);
      await one.run(report, part);
    }
    writeResults(kept([bench, ...(part === undefined ? [] : [part])]), { ...about, figures: own });
    figures.push(...own);
  }
  const results: Results = { ...about, figures };
  if (json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
  const missed = figures.filter(({ met }) => met === false);
  for (const { name: of, unit, value, bar } of missed)
    print(`bar missed: ${of}: ${value} ${unit} (${bar})`);
  if (missed.length === 0) print("every bar was met");
  const held =
    before === undefined || against === undefined || printChanges(against, before, results, print);
  return missed.length === 0 && held ? exits.done : exits.failed;
}

ensureNpm();
try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  const { message } = error as Error;
  const usage = error instanceof UsageError;
  process.stderr.write(`bench: ${message}${usage ? "; see bun run bench --help" : ""}\n`);
  process.exitCode = usage ? exits.usage : exits.failed;
}
