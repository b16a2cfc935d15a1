// Runs of two processes that do not come to their end.
import { expect, test } from "bun:test";
import { freePort } from "./bench.ts";
import type { Way } from "./peer-programs.ts";
import { runWay } from "./peer-run.ts";

const wish = { width: 64, height: 48, frames: 1, work: "/nonesuch" };

test("a listener that ends before it listens ends the run, also when a signal ends it", async () => {
  for (const [end, how] of [
    ["exit 3", "status 3"],
    ["kill -SEGV $$", "SIGSEGV"],
  ] as const) {
    const receive = ["sh", "-c", `echo why >&2; ${end}`];
    const way: Way = {
      name: "a way",
      command: () => ({ send: ["true"], receive, listens: "receive", at: freePort() }),
    };
    const said = await runWay(way, wish).catch((error: Error) => error.message);
    expect(said).toBe(`a way: sh ended with ${how}: why`);
  }
});
