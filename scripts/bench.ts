// `bun run bench [NAME...]`: measures our code and a baseline in turn, in one run, and says which targets were met.
import { readdirSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import type { Bench } from "../test/bench/bench.ts";
import { ensureDebian, ensureNpm, projectDir } from "./ensure.ts";
import { step } from "./step.ts";

const directory = join(projectDir, "test/bench");

/** All benches: the modules of test/bench that export one. */
async function benches(): Promise<Bench[]> {
  const modules = readdirSync(directory).filter(
    (name) => /^[a-z-]+\.ts$/.test(name) && !name.endsWith("-side.ts"),
  );
  const found = await Promise.all(
    modules.map((name) => import(join(directory, name)) as Promise<{ bench?: Bench }>),
  );
  return found.flatMap(({ bench }) => (bench === undefined ? [] : [bench]));
}

ensureNpm();
ensureDebian([
  { package: "gcc", provides: "gcc" },
  { package: "libc6-dev", provides: "/usr/include/stdio.h" },
]);
const [name, ...args] = process.argv.slice(2);
const all = await benches();
const chosen = all.filter((bench) => name === undefined || bench.name === name);
if (chosen.length === 0) {
  const names = new Set(all.map((bench) => bench.name));
  console.error(`no bench ${name}; there are ${[...names].join(", ")}`);
  process.exit(2);
}
if (!(await step("build", [process.execPath, "run", "build"], 120_000))) process.exit(1);
const machine = cpus();
console.log(
  `machine: ${machine.length} x ${machine[0]?.model}, Bun ${Bun.version}, Linux ${(await Bun.file("/proc/sys/kernel/osrelease").text()).trim()}`,
);
let met = true;
for (const bench of chosen) {
  console.log(`\n${bench.name}: ${bench.title}`);
  met = (await bench.run(args)) && met;
}
console.log(met ? "every bar was met" : "NOT every bar was met");
process.exitCode = met ? 0 : 1;
