// `bun run fuzz [--target NAME] [--seed N] [--cases N] [--seconds N]`: runs at least 50,000 cases of every target, in
// processes of their own, which a defect may kill. A failed case is printed as its seed and the fewest steps that fail. Exit
// status 0, 1, or 2 for usage.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { report, shrink, type Target } from "../test/fuzz/target.ts";
import { targets } from "../test/fuzz/targets.ts";
import { PROGRESS_BYTES, type Report } from "../test/fuzz/worker.ts";
import { waitedForProcessorMs } from "../test/support/processes.ts";
import { ensureNpm, projectDir } from "./ensure.ts";
import type { Tally } from "./step.ts";

/** Cases of each target in CI. */
export const CASES = 50_000;
/** Cases of one process: small enough to keep all processors busy to the end. */
const SHARE = 12_500;
/** A process hangs when its seed does not change for so long; the time that it waits for a processor does not count. */
const STUCK_MS = 20_000;
/** The same with `idle`: the process also waits for its own threads, which wait for a processor. */
const IDLE_STUCK_MS = 60_000;
const POLL_MS = 500;
/** Memory may grow so much over thousands of cases: code compiled late, the allocator's reserves. */
const MAX_HEAP_GROWTH = 4 << 20;
const MAX_RSS_GROWTH = 96 << 20;

export interface FuzzOptions {
  readonly target?: string | undefined;
  readonly seed: number;
  readonly cases: number;
  /** Runs each target for so long, instead of a number of cases; 0 does not. */
  readonly seconds: number;
  /** Takes only what other processes leave of the processors. */
  readonly idle?: boolean;
}

interface Share {
  readonly target: Target;
  readonly first: number;
  readonly cases: number;
}

/** Runs the targets and prints the result of each. */
export async function runFuzz(options: FuzzOptions): Promise<Tally> {
  ensureNpm();
  const chosen = targets.filter(({ name }) => (options.target ?? name) === name);
  const folder = mkdtempSync(join(tmpdir(), "framepass-fuzz-"));
  try {
    const shares = chosen.flatMap((target) => sharesOf(target, options));
    const results = new Map(chosen.map((target) => [target, [] as (Report | string)[]]));
    const next = async (slot: number): Promise<void> => {
      for (let share = shares.shift(); share !== undefined; share = shares.shift()) {
        results.get(share.target)?.push(await runShare(share, options, join(folder, `${slot}`)));
      }
    };
    const fromMs = performance.now();
    // One more than the processors: the cases of some targets wait for a child, or for a device that is late.
    await Promise.all(Array.from({ length: availableParallelism() + 1 }, (_, slot) => next(slot)));
    const tally = { passed: 0, failed: 0 };
    for (const [target, reports] of results) {
      if (show(target, reports)) tally.passed += 1;
      else tally.failed += 1;
    }
    console.log(`fuzz: ${((performance.now() - fromMs) / 1000).toFixed(1)} s`);
    return tally;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function sharesOf(target: Target, { seed, cases: all, seconds }: FuzzOptions): Share[] {
  const cases = Math.ceil(all * target.weight);
  if (seconds > 0) return [{ target, first: seed, cases }];
  const shares: Share[] = [];
  const share = Math.ceil(SHARE * target.weight);
  for (let done = 0; done < cases; done += share) {
    shares.push({ target, first: seed + done, cases: Math.min(share, cases - done) });
  }
  return shares;
}

/** Prints the sum of a target's reports; true when there is no failure in them. */
function show({ name, title }: Target, reports: readonly (Report | string)[]): boolean {
  const failures = reports.filter((report) => typeof report === "string");
  const done = reports.filter((report) => typeof report !== "string");
  const cases = done.reduce((sum, report) => sum + report.cases, 0);
  const most = (of: (report: Report) => number) => Math.max(0, ...done.map(of));
  const heap = most(({ heapBytes }) => heapBytes);
  const rss = most(({ rssBytes }) => rssBytes);
  const descriptors = most((report) => report.descriptors);
  if (heap > MAX_HEAP_GROWTH) failures.push(`the heap grew by ${heap} bytes`);
  if (rss > MAX_RSS_GROWTH) failures.push(`the process grew by ${rss} bytes`);
  if (descriptors > 0) failures.push(`${descriptors} descriptors were left`);
  const kib = (bytes: number) => `${Math.round(bytes / 1024)} KiB`;
  const flat = `heap ${kib(heap)}, process ${kib(rss)}, descriptors ${descriptors}`;
  const verdict = failures.length === 0 ? "ok    " : "FAILED";
  console.log(`${verdict} ${name}: ${cases} cases of ${title}; growth: ${flat}`);
  for (const failure of failures) console.log(failure);
  return failures.length === 0;
}

/** With these before it a command takes what others leave; a timed target takes a tenth of what another process takes. */
const behindOthers = ({ timed }: Target) =>
  timed ? ["nice", "-n", "10"] : ["chrt", "--idle", "0"];

const worker = (target: Target, words: readonly (string | number)[], idle = false) =>
  Bun.spawn(
    [
      ...(idle ? behindOthers(target) : []),
      ...[process.execPath, "test/fuzz/worker.ts", target.name, ...words.map(String)],
    ],
    { cwd: projectDir, stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );

/** Runs cases in a process of their own; answers its report, or the text of the failure. */
async function runShare(
  { target, first, cases }: Share,
  { seconds, idle = false }: FuzzOptions,
  path: string,
): Promise<Report | string> {
  writeFileSync(path, Buffer.alloc(PROGRESS_BYTES));
  await using child = worker(target, [first, cases, seconds, path], idle);
  const stuck = watch(child, path, idle ? IDLE_STUCK_MS : STUCK_MS);
  const [out, err, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (status === 0 && out !== "") return JSON.parse(out) as Report;
  if (status === 1 && child.signalCode === null) return err.trim(); // the worker has shrunk and printed the failure
  const seed = readFileSync(path).readUInt32LE(0);
  const how = stuck() ? "it hangs" : `the process died: ${child.signalCode ?? `exit ${status}`}`;
  const fails = (keep: readonly number[]) => diesOf(target, seed, keep, path);
  const { keep, error } = await shrink(target.script(seed).length, fails);
  return report(target, seed, keep, error ?? how);
}

/** Kills a process that hangs; the answer says whether that has happened. */
function watch(child: Bun.Subprocess, path: string, stuckMs: number): () => boolean {
  let seen = "";
  let waited = 0;
  const nowMs = () => {
    waited = Math.max(waited, waitedMs(child.pid));
    return performance.now() - waited;
  };
  let sinceMs = nowMs();
  let killed = false;
  const timer = setInterval(() => {
    const now = readFileSync(path).toString("hex");
    if (now !== seen) sinceMs = nowMs();
    seen = now;
    if (nowMs() - sinceMs < stuckMs) return;
    killed = true;
    child.kill("SIGKILL");
  }, POLL_MS);
  child.exited.finally(() => clearInterval(timer));
  return () => killed;
}

/** How long a process could have run and had no processor; 0 when it has ended. */
function waitedMs(pid: number): number {
  try {
    return waitedForProcessorMs(pid);
  } catch {
    return 0;
  }
}

async function diesOf(
  target: Target,
  seed: number,
  keep: readonly number[],
  path: string,
): Promise<unknown> {
  await using child = worker(target, [seed, 1, 0, path, keep.join(",")]);
  const timer = setTimeout(() => child.kill("SIGKILL"), STUCK_MS);
  const status = await child.exited.finally(() => clearTimeout(timer));
  if (status === 0) return undefined;
  const said = (await new Response(child.stderr).text()).trim().split("\n")[0];
  return `the process died: ${child.signalCode ?? `exit ${status}`}${said ? `, ${said}` : ""}`;
}

function optionsOf(argv: readonly string[]): FuzzOptions {
  const string = { type: "string" } as const;
  const options = { target: string, seed: string, cases: string, seconds: string };
  const { values } = parseArgs({ args: [...argv], options });
  const count = (name: "seed" | "cases" | "seconds", fallback: number) => {
    const value = values[name] === undefined ? fallback : Number(values[name]);
    if (Number.isSafeInteger(value) && value >= 0 && value <= 0xffff_ffff) return value;
    throw new Error(`--${name} must be 0 to 4294967295, got "${values[name]}"`);
  };
  const { target } = values;
  if (target !== undefined && !targets.some(({ name }) => name === target)) {
    throw new Error(`--target must be ${targets.map(({ name }) => name).join(", ")}`);
  }
  return {
    target,
    seed: count("seed", 1),
    cases: count("cases", CASES),
    seconds: count("seconds", 0),
  };
}

if (import.meta.main) {
  let options: FuzzOptions;
  try {
    options = optionsOf(process.argv.slice(2));
  } catch (error) {
    console.error((error as Error).message.split("\n")[0]);
    process.exit(2);
  }
  process.exitCode = (await runFuzz(options)).failed === 0 ? 0 : 1;
}
