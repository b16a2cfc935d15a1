// The processor time that steps and scenarios print.
import { expect, test } from "bun:test";
import { processorSeconds, timesText } from "../../scripts/processor-time.ts";

test("the processor time of a process has that of its children, also when its name has blanks and parentheses", () => {
  const stat = "42 (a) (b c) S 1 2 3 4 5 6 7 8 9 10 150 25 1000 325 20 0 5 0";
  expect(processorSeconds(stat)).toBe(15);
});

test("what a child has computed is counted when it has ended", () => {
  const before = processorSeconds();
  const count = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
  expect(Bun.spawnSync(["sh", "-c", count]).exitCode).toBe(0);
  expect(processorSeconds()).toBeGreaterThan(before);
});

test("both times are printed with a decimal", () => {
  expect(timesText(12.345, 20)).toBe("12.3 s, 20.0 s of processor time");
});
