// Runs cases of one target in a process of its own, which a defect may kill. The current seed is in a file.
// usage: bun worker.ts TARGET FIRST_SEED CASES SECONDS PROGRESS_FILE [STEP,STEP...]
import { Fd, O_RDWR } from "../../ffi/fd.ts";
import { Mapping } from "../../ffi/mapping.ts";
import { openDescriptors } from "../support/resources.ts";
import { runCases } from "./target.ts";
import { targets } from "./targets.ts";

/** The record that a worker writes to stdout when no case failed. */
export interface Report {
  readonly cases: number;
  /** Growth after the first tenth: JS heap after a collection, memory of the process, descriptors. */
  readonly heapBytes: number;
  readonly rssBytes: number;
  readonly descriptors: number;
}

/** Bytes of the progress file: the seed that is running. */
export const PROGRESS_BYTES = 8;

/** How much of a run is done, from 0 to 1. Its length is `seconds` or, when that is 0, `cases`. */
export const wayOf = (
  { done, passed }: { readonly done: number; readonly passed: number },
  { cases, seconds }: { readonly cases: number; readonly seconds: number },
): number => (seconds > 0 ? passed / seconds : done / cases);

async function main(words: readonly string[]): Promise<void> {
  const [name, first = "1", cases = "1", seconds = "0", path = "", keep] = words;
  const target = targets.find((one) => one.name === name);
  if (target === undefined) throw new Error(`no target ${name}`);
  using file = Fd.open(path, O_RDWR);
  using mapping = new Mapping(file.number, PROGRESS_BYTES, path);
  const progress = new DataView(mapping.bytes.buffer);
  if (keep !== undefined) {
    using opened = target.open();
    await opened.attempt(Number(first), keep.split(",").filter(Boolean).map(Number));
    return;
  }
  const fromMs = performance.now();
  let before: ReturnType<typeof held> | undefined;
  const count = await runCases(target, Number(first), (done) => {
    progress.setUint32(0, Number(first) + done, true);
    progress.setUint32(4, done, true);
    const passed = (performance.now() - fromMs) / 1000;
    const way = wayOf({ done, passed }, { cases: Number(cases), seconds: Number(seconds) });
    if (way >= 0.1) before ??= held();
    return way < 1;
  });
  const after = held();
  const { heap, rss, descriptors } = before ?? after;
  const report: Report = {
    cases: count,
    heapBytes: after.heap - heap,
    rssBytes: after.rss - rss,
    descriptors: after.descriptors - descriptors,
  };
  console.log(JSON.stringify(report));
}

function held(): { heap: number; rss: number; descriptors: number } {
  Bun.gc(true);
  const { heapUsed, rss } = process.memoryUsage();
  return { heap: heapUsed, rss, descriptors: openDescriptors() };
}

if (import.meta.main) {
  await main(process.argv.slice(2)).catch((error: Error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });
}
