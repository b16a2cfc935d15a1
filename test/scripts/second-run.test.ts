// Which files of a test run have a second run: the text is that of bun test 1.4.5 with --parallel.

import { expect, test } from "bun:test";
import { failedFiles, hasSecondRun, SECOND_RUNS } from "../../scripts/second-run.ts";

test("the files with failed tests are found in the output of bun test", () => {
  const output = [
    "bun test v1.4.5 (a7733435c) 2x PARALLEL",
    "(fail) before any file",
    "test/a.test.ts:",
    "error: expect(received).toBe(expected)",
    "(fail) a fails [0.15ms]",
    "(fail) a fails too",
    "(pass) a ok [0.02ms]",
    "",
    "test/deep/c.test.ts:",
    "(pass) c ok [0.01ms]",
    "",
    "test/b.test.ts:",
    "what a program printed: (fail) no test",
    "      at <anonymous> (/somewhere/test/b.test.ts:2:81)",
    "(fail) group > b fails [0.14ms]",
    "test/d.test.ts:",
    "(pass) d ok",
    "",
    "1 tests skipped:",
    "(skip) somewhere else",
    "",
    "3 tests failed:",
    "(fail) a fails [0.15ms]",
    "",
    " 2 pass",
    " 3 fail",
  ].join("\n");
  expect(failedFiles(output)).toEqual(["test/a.test.ts", "test/b.test.ts"]);
});

test("nothing failed, or too much failed: no second run", () => {
  const failed = Array.from({ length: SECOND_RUNS + 1 }, (_, index) => `${index}.test.ts`);
  expect(hasSecondRun([])).toBe(false);
  expect(hasSecondRun(failed.slice(1))).toBe(true);
  expect(hasSecondRun(failed)).toBe(false);
});
