// `bun run check`: format, lint, types and the unit tests (import direction and struct layouts are among them).
import { displayNeeds } from "./display-needs.ts";
import { ensureDebian, ensureNpm } from "./ensure.ts";
import { npmProgram, step, stepWithOutput, type Tally, testCounts } from "./step.ts";

/** What the tests use of Debian: a compiler and headers for the layouts, ffmpeg for the formats, a display and SDL. */
const debianNeeds = [
  { package: "gcc", provides: "gcc" },
  { package: "libc6-dev", provides: "/usr/include/stdio.h" },
  { package: "linux-libc-dev", provides: "/usr/include/linux/videodev2.h" },
  { package: "ffmpeg", provides: "ffmpeg" },
  ...displayNeeds,
] as const;

/** Runs all checks, also after one has failed. */
export async function runCheck(): Promise<Tally> {
  ensureNpm();
  ensureDebian(debianNeeds);
  const tally = { passed: 0, failed: 0 };
  const count = (ok: boolean) => {
    if (ok) tally.passed += 1;
    else tally.failed += 1;
  };
  count(
    await step("format and lint", [npmProgram("biome"), "ci", "--error-on-warnings", "."], 60_000),
  );
  count(await step("types", [npmProgram("tsc")], 120_000));
  const tests = await stepWithOutput("tests", [process.execPath, "run", "test"], 300_000);
  const counts = testCounts(tests.output);
  tally.passed += counts.passed;
  tally.failed += counts.failed;
  if (!tests.ok && counts.failed === 0) tally.failed += 1; // the tests ended before they printed their counts
  if (counts.passed + counts.failed === 0) tally.failed += 1; // a run without tests is a failure
  return tally;
}

if (import.meta.main) {
  const { passed, failed } = await runCheck();
  console.log(`check: ${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}
