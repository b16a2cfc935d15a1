// A few cases of each target: `bun run fuzz` runs many.
import { expect, test } from "bun:test";
import { runCases } from "./target.ts";
import { targets } from "./targets.ts";

const CASES = 2000;

test.each(targets.map((target) => ({ target, cases: CASES * target.weight, ...target })))(
  "$cases cases of $title",
  async ({ target, cases }) => {
    expect(await runCases(target, 1, (done) => done < cases)).toBe(cases);
  },
  120_000,
);
