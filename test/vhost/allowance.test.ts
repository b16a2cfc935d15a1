// How many lines repeated events may leave in the log.
import { expect, test } from "bun:test";
import { Allowance } from "../../src/vhost/allowance.ts";

test("an allowance gives its number at once, then one in each period, and says how many were quiet", () => {
  let nowMs = 0;
  const allowance = new Allowance(3, 1000, () => nowMs);
  const quiet = (count: number) => Array.from({ length: count }, () => allowance.take().quiet);
  expect(quiet(5)).toEqual([false, false, false, true, true]);
  nowMs = 999;
  expect(quiet(1)).toEqual([true]);
  nowMs = 1000;
  expect(allowance.take()).toEqual({ quiet: false, hidden: 3 });
  expect(quiet(1)).toEqual([true]);
  nowMs = 2900;
  expect(allowance.take()).toEqual({ quiet: false, hidden: 1 });
  expect(quiet(1)).toEqual([true]);
  nowMs = 1e9;
  expect(quiet(4)).toEqual([false, false, false, true]);
});
