// A few cases of each target: `bun run fuzz` runs many.
import { expect, test } from "bun:test";
import { runCases } from "./target.ts";
import { targets } from "./targets.ts";

const CASES = 2000;

test.each(targets)(
  "2,000 cases of $title",
  async (target) => {
    expect(await runCases(target, 1, (done) => done < CASES)).toBe(CASES);
  },
  60_000,
);
