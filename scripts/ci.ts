// `bun run ci`: all checks, on a machine where nothing is installed. The last line is the counts.
import { runCheck, runLongTests } from "./check.ts";
import { ensureNpm } from "./ensure.ts";
import { step, type Tally } from "./step.ts";

ensureNpm();
const total: Tally = { passed: 0, failed: 0 };
const add = ({ passed, failed }: Tally) => {
  total.passed += passed;
  total.failed += failed;
};
const addStep = async (name: string, script: string, limitMs: number) => {
  const ok = await step(name, [process.execPath, "run", script], limitMs);
  add({ passed: ok ? 1 : 0, failed: ok ? 0 : 1 });
};

add(await runCheck());
add(await runLongTests());
await addStep("demo", "demo", 120_000);
const { CASES, runFuzz } = await import("./fuzz.ts");
add(await runFuzz({ seed: 1, cases: CASES, seconds: 0 }));
const { runLab } = await import("./lab.ts");
add(await runLab([]));
console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed === 0 ? 0 : 1);
