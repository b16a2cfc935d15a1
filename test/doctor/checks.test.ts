import { afterAll, expect, test } from "bun:test";
import { toolRows } from "../../cmd/tool-rows.ts";
import { checks, examine } from "../../src/doctor/checks.ts";
import { missing } from "../../src/doctor/finding.ts";
import { Loop } from "../../src/loop.ts";

const loop = new Loop();
afterAll(() => loop[Symbol.dispose]());
const host = {
  context: { loop, signal: AbortSignal.abort() },
  machine: { cpuinfo: "", limits: "", glibc: "2.36", arch: "arm64" },
  reports: [],
  ways: [],
  listen: undefined,
};

test("the rows name tools that there are, and a tool that needs something is one that it concerns", () => {
  const names: readonly string[] = toolRows.map(({ name }) => name);
  for (const { name, of = names, needs = [] } of checks) {
    for (const tool of [...of, ...needs]) expect(names, name).toContain(tool);
    for (const tool of needs) expect(of, name).toContain(tool);
  }
});

test("the checks of a tool are those that concern it, in their order", async () => {
  const named = async (tool: string | undefined) =>
    (await examine(tool, host)).map(({ name }) => name);
  const all = await named(undefined);
  const some = await named("sender");
  expect(all).not.toContain("port"); // none was named
  expect(all.filter((name) => some.includes(name))).toEqual(some);
  expect(some).toContain("cameras");
  expect(some).not.toContain("SDL2");
});

test("a port that is taken stops the receivers", async () => {
  const results = await examine("receiver", { ...host, listen: async () => missing("taken") });
  expect(results.find(({ name }) => name === "port")).toMatchObject({
    state: "missing",
    text: "taken",
    stops: ["receiver", "receiver_sdl", "receiver_zc", "receiver_zc_sdl"],
  });
});
