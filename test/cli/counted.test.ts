import { expect, test } from "bun:test";
import { counted, countedWere } from "../../src/cli/counted.ts";

test("what is counted has a singular for 1 only", () => {
  const counts = [0, 1, 2];
  expect(counts.map((n) => counted(n, "front-end"))).toEqual([
    "0 front-ends",
    "1 front-end",
    "2 front-ends",
  ]);
  expect(counts.map((n) => countedWere(n, "line"))).toEqual([
    "0 lines were",
    "1 line was",
    "2 lines were",
  ]);
});
