// Scenarios at the same time: each in a process of its own, which prints the lines of its checks and then its counts.
import { join } from "node:path";
import { projectDir } from "../../scripts/ensure.ts";
import { hasSecondRun, secondRunLine } from "../../scripts/second-run.ts";
import type { Scenario } from "./lab.ts";

/** Scenarios that run at the same time. A guest computes for half of its time, and a machine has two processors or more. */
const AT_ONCE = 2;

export interface Counts {
  readonly passed: number;
  readonly failed: number;
}

/** The last line that the lab prints. */
export const countsLine = ({ passed, failed }: Counts) => `lab: ${passed} passed, ${failed} failed`;

/**
 * Runs scenarios: first each one that needs the machine for itself, then two at a time those that do not, the longest
 * first. A few with failures run once more, each with the machine for itself: their second run decides. Answers the sum
 * of their counts.
 */
export async function runSideBySide(
  scenarios: readonly Scenario[],
  runOne: (scenario: Scenario) => Promise<Counts>,
  print: (line: string) => unknown = (line) => process.stdout.write(`${line}\n`),
): Promise<Counts> {
  const counted = new Map<Scenario, Counts>();
  const add = async (scenario: Scenario) => {
    counted.set(scenario, await runOne(scenario));
  };
  for (const scenario of scenarios) if (!scenario.besideOthers) await add(scenario);
  const waiting = scenarios
    .filter(({ besideOthers }) => besideOthers)
    .toSorted((a, b) => b.seconds - a.seconds);
  const lane = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await add(next);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  const failed = [...counted].filter(([, counts]) => counts.failed > 0).map(([row]) => row);
  if (hasSecondRun(failed)) {
    print(secondRunLine(failed.map(({ name }) => name)));
    for (const scenario of failed) await add(scenario);
  }
  return [...counted.values()].reduce(sum, { passed: 0, failed: 0 });
}

const sum = (a: Counts, b: Counts): Counts => ({
  passed: a.passed + b.passed,
  failed: a.failed + b.failed,
});

/** Runs one scenario in a process that ends with this one, and shows its lines. A process without counts is a failure. */
export async function runInProcess({ name }: Scenario): Promise<Counts> {
  const script = join(projectDir, "scripts/lab.ts");
  const child = Bun.spawn(
    ["setpriv", "--pdeathsig", "TERM", "--", process.execPath, script, name],
    {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    },
  );
  let counts: Counts | undefined;
  const show = (line: string) => {
    const [, passed, failed] = /^lab: (\d+) passed, (\d+) failed$/.exec(line) ?? [];
    if (passed === undefined) process.stdout.write(`${line}\n`);
    else counts = { passed: Number(passed), failed: Number(failed) };
  };
  await eachLine(child.stdout, show);
  const status = await child.exited;
  if (counts !== undefined) return counts;
  const how = child.signalCode ?? `exit status ${status}`;
  process.stdout.write(`FAILED         ${name}: its process ended with ${how} before its counts\n`);
  return { passed: 0, failed: 1 };
}

async function eachLine(
  stream: ReadableStream<Uint8Array>,
  take: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let partial = "";
  for await (const part of stream) {
    const lines = (partial + decoder.decode(part, { stream: true })).split("\n");
    partial = lines.pop() ?? "";
    for (const line of lines) take(line);
  }
  if (partial !== "") take(partial);
}
