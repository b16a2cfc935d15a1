// `bun run check`: build, format, lint, types and the unit tests (import direction and struct layouts are among them).
import { browserNeeds, displayNeeds } from "./display-needs.ts";
import { ensureDebian, ensureNpm } from "./ensure.ts";
import { packageNeeds } from "./package-needs.ts";
import { recipeNeeds } from "./recipe-needs.ts";
import { failedFiles, hasSecondRun, secondRunLine } from "./second-run.ts";
import { npmProgram, step, stepBeside, stepWithOutput, type Tally, testCounts } from "./step.ts";

/** What the tests use of Debian: a compiler and headers for the layouts, ffmpeg for the formats, a display, SDL and a browser. */
const debianNeeds = [
  { package: "gcc", provides: "gcc" },
  { package: "libc6-dev", provides: "/usr/include/stdio.h" },
  { package: "linux-libc-dev", provides: "/usr/include/linux/videodev2.h" },
  { package: "ffmpeg", provides: "ffmpeg" },
  ...displayNeeds,
  ...browserNeeds,
] as const;

/** With this before it a command leaves the processor to the tests when both need it. */
const nice = ["nice", "-n", "10"];
const lintWords = ["ci", "--error-on-warnings", "."];

/** Ends the name of a file with long tests, before ".test.ts". */
const LONG = ".long";

/** Runs all checks, also after one has failed. */
export async function runCheck(): Promise<Tally> {
  ensureNpm();
  ensureDebian(debianNeeds);
  const tally = { passed: 0, failed: 0 };
  const count = (ok: boolean) => {
    if (ok) tally.passed += 1;
    else tally.failed += 1;
  };
  count(await step("build", [process.execPath, "run", "build"], 300_000)); // what the tests run
  // The tests wait for most of their time: the other checks run beside them, where they leave the processor.
  const [lint, types, tests] = await Promise.all([
    stepBeside("format and lint", [...nice, npmProgram("biome"), ...lintWords], 300_000),
    stepBeside("types", [...nice, npmProgram("tsc")], 300_000),
    runTests("tests", ["--path-ignore-patterns", `**/*${LONG}.test.ts`]),
  ]);
  count(lint);
  count(types);
  return sum(tally, tests);
}

/** The tests that take tens of seconds: whole clips of each codec, thousands of random cases, packages in new systems; and the recipes. */
export async function runLongTests(): Promise<Tally> {
  ensureNpm();
  ensureDebian([...debianNeeds, ...packageNeeds, ...recipeNeeds]);
  return await runTests("long tests", [`${LONG}.test.ts`]);
}

/**
 * Runs `bun run test` with these words. A few files with failures run once more, one at a time: their second run decides.
 * A run without tests, and one that ends before its counts, is a failure.
 */
async function runTests(name: string, words: readonly string[]): Promise<Tally> {
  const first = await runTestFiles(name, words);
  const files = failedFiles(first.output);
  if (first.incomplete || !hasSecondRun(files)) return first.tally;
  console.log(secondRunLine(files));
  const second = await runTestFiles(`${name}, second run`, ["--parallel=1", ...files]);
  const { failed } = second.tally;
  return { passed: first.tally.passed + first.tally.failed - failed, failed };
}

async function runTestFiles(name: string, words: readonly string[]) {
  const command = [process.execPath, "run", "test", ...words];
  const { ok, output } = await stepWithOutput(name, command, 600_000);
  const { passed, failed } = testCounts(output);
  const incomplete = (!ok && failed === 0) || passed + failed === 0;
  return { output, incomplete, tally: { passed, failed: failed + (incomplete ? 1 : 0) } };
}

const sum = (a: Tally, b: Tally) => ({
  passed: a.passed + b.passed,
  failed: a.failed + b.failed,
});

if (import.meta.main) {
  const { passed, failed } = await runCheck();
  console.log(`check: ${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}
