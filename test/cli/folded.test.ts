// Lines that come again and again.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { FoldedLog } from "../../src/cli/folded.ts";
import { log } from "../../src/cli/log.ts";

let lines: string[] = [];
const { warn, info } = log;
beforeEach(() => {
  lines = [];
  for (const level of ["warn", "info"] as const)
    log[level] = Object.assign((text: string) => lines.push(text), { raw: () => undefined });
});
afterEach(() => {
  log.warn = warn;
  log.info = info;
});

test("equal lines are logged once, then with their count, also when they alternate with others", async () => {
  using folded = new FoldedLog(50);
  for (let i = 0; i < 12; i++) {
    folded.say("info", "connected");
    folded.say("warn", `refused, trying again in ${i} ms`, "refused");
  }
  expect(lines).toEqual(["connected", "refused, trying again in 0 ms"]);
  await Bun.sleep(60);
  folded.say("warn", "refused, trying again in 12 ms", "refused");
  expect(lines.slice(2)).toEqual(["refused, trying again in 12 ms (12 times more)"]);
  folded.flush();
  expect(lines.slice(3)).toEqual(["connected (11 times more)"]);
  folded.say("info", "connected");
  expect(lines.slice(4)).toEqual(["connected"]);
});

test("many different lines are all logged, and few of them are remembered", () => {
  using folded = new FoldedLog();
  for (let i = 0; i < 1000; i++) folded.say("warn", `line ${i}`);
  expect(lines).toHaveLength(1000);
});
