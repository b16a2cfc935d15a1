// A program that schedules itself as a tool with --realtime does, starts another program, and says "ready". With the word "spin"
// it then gives the loop work without a pause, up to its limit of 200 ms and beyond, until it has lost the policy.
import { readFileSync, writeSync } from "node:fs";
import { scheduleFrames } from "../../src/cli/realtime.ts";
import { Loop } from "../../src/loop.ts";

scheduleFrames(true, 200_000);
const child = Bun.spawn(["sleep", "60"], { stdio: ["ignore", "ignore", "ignore"] });
using loop = new Loop();
const stop = new AbortController();
process.on("SIGTERM", () => stop.abort());
const spin = loop.deferred(() => {
  spin.ask();
  const [, ...fields] = readFileSync("/proc/self/stat", "utf8").split(/.*\) /);
  if (fields[0]?.split(" ")[38] === "0") stop.abort(); // the policy
});
if (process.argv[2] === "spin") spin.ask();
writeSync(1, "ready");
await loop.run(loop.sleep(60_000, stop.signal));
child.kill();
