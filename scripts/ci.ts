// `bun run ci`: all checks, on a machine where nothing is installed. The last line is the counts.
import { runCheck, runLongTests } from "./check.ts";
import { ensureNpm } from "./ensure.ts";
import { stepBeside, type Tally } from "./step.ts";

ensureNpm();
const total: Tally = { passed: 0, failed: 0 };
const add = ({ passed, failed }: Tally) => {
  total.passed += passed;
  total.failed += failed;
};

add(await runCheck());
const { CASES, runFuzz } = await import("./fuzz.ts");
// The long tests and the lab wait for a part of their time: the cases take what they leave of the processors.
const fuzz = runFuzz({ seed: 1, cases: CASES, seconds: 0, idle: true });
// The demonstration waits for its pictures: it runs beside tests that compute.
const demo = stepBeside("demo", [process.execPath, "run", "demo"], 120_000);
add(await runLongTests());
add((await demo) ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 });
const { runLab } = await import("./lab.ts");
add(await runLab([]));
add(await fuzz);
console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed === 0 ? 0 : 1);
