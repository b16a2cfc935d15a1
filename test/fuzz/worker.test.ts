import { expect, test } from "bun:test";
import { wayOf } from "./worker.ts";

test("a run with --seconds lasts so long, however many cases it has done", () => {
  const length = { cases: 50_000, seconds: 600 };
  expect(wayOf({ done: 10, passed: 600 }, length)).toBe(1);
  expect(wayOf({ done: 200_000, passed: 60 }, length)).toBe(0.1);
});

test("a run without --seconds ends after its cases, however long they take", () => {
  const length = { cases: 50_000, seconds: 0 };
  expect(wayOf({ done: 50_000, passed: 1 }, length)).toBe(1);
  expect(wayOf({ done: 5000, passed: 600 }, length)).toBe(0.1);
});
