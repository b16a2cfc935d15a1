// `bun run bench video`, rings: the round trip of a command against two threads of a C program that only wake each other.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { childrenOf } from "../support/processes.ts";
import { type Bench, compileC, median, type Report } from "./bench.ts";
import type { Cell } from "./figures.ts";

const ROUNDS = 7;
/** The processor of the other side: to wake a sleeping processor costs much more than a switch on one. */
const placements = [
  { name: "one processor", other: 0, count: 60_000 },
  { name: "two processors", other: 1, count: 20_000 },
] as const;
interface Placement {
  readonly name: string;
  readonly other: number;
  readonly count: number;
}
const HEAP_COMMANDS = 200_000;
/** A command may take so many times as long as the threads at p99, and so much longer at p50. */
const BAR = 3;
const BAR_US = 2;
/** Until the process of the next front-end is warm. Guests need longer until their first command. */
const WARM_MS = 1000;
/** The first 10,000 commands against those after 200,000. */
const LONG = { rounds: 3, count: 200_000, bar: 1.5 } as const;
/** 10,000 commands with the tenth that the program adds, and the processor time that they may take. */
const COST = { rounds: 5, count: 9091, barSeconds: 0.08 } as const;

interface Trip {
  readonly p50: number;
  readonly p99: number;
  /** p99 of the first and of the last 10,000. */
  readonly first99: number;
  readonly last99: number;
}

/** Round trips, and processor seconds of the daemon's processes from the connection of the front-end to their end. */
interface Served extends Trip {
  readonly cpuSeconds: number;
}

const options = { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 120_000 } as const;

async function run(report: Report): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), "framepass-bench-"));
  const program = join(work, "rings");
  try {
    compileC("rings.c", program, "-pthread");
    await measure(program, work, report);
  } finally {
    rmSync(work, { recursive: true });
  }
}

async function measure(program: string, work: string, report: Report): Promise<void> {
  const possible = placements.filter(({ other }) => other < availableParallelism());
  const rows: [string, ...Cell[]][] = [];
  for (const placement of possible) {
    const { count, other, name } = placement;
    const rounds: { threads: Trip; ours: Trip }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const threads = await trips([program, `${count}`, "0", `${other}`]);
      const ours = await throughTool(program, placement, join(work, `${other}-${round}.sock`));
      rounds.push({ threads, ours });
    }
    for (const part of ["p50", "p99"] as const) {
      const us = (side: "threads" | "ours") => median(rounds.map((round) => round[side][part]));
      const ratio = median(rounds.map(({ threads, ours }) => ours[part] / threads[part]));
      const ours = us("ours");
      const threads = us("threads");
      const cells: Cell[] =
        part === "p50"
          ? [threads, { value: ours, bar: threads + BAR_US }, undefined]
          : [threads, ours, ratio];
      rows.push([`${name}, ${part}`, ...cells]);
    }
  }
  report.table({
    head: "kick to interrupt",
    columns: [
      { name: "two C threads", unit: "us", digits: 1 },
      { name: "ours", unit: "us", digits: 1, better: "less" },
      { name: "ratio", unit: "", digits: 2, better: "less", bar: BAR },
    ],
    rows,
  });
  await reportFirst(program, possible, work, report);
  const { requests, heapGrowth } = await heap(program, join(work, "heap.sock"));
  report.line(`JS heap growth over ${requests} commands: ${heapGrowth} bytes`);
  report.table({
    head: "",
    columns: [
      {
        name: "JS heap growth",
        unit: "bytes a command",
        digits: 2,
        better: "less",
        bar: 1,
        slack: 1,
      },
    ],
    rows: [["commands", heapGrowth / requests]],
  });
}

/** The first commands of a front-end, and their cost. */
async function reportFirst(
  program: string,
  possible: readonly Placement[],
  work: string,
  report: Report,
): Promise<void> {
  let made = 0;
  const repeat = async (rounds: number, placement: Placement) => {
    const all: Served[] = [];
    for (let i = 0; i < rounds; i++)
      all.push(await throughTool(program, placement, join(work, `first${made++}.sock`)));
    return all;
  };
  const rows: [string, ...Cell[]][] = [];
  for (const placement of possible) {
    const long = await repeat(LONG.rounds, { ...placement, count: LONG.count });
    const costs = await repeat(COST.rounds, { ...placement, count: COST.count });
    const cpuSeconds = median(costs.map((cost) => cost.cpuSeconds));
    // With two, the time in which a processor wakes up is in it.
    const cost = placement.other === 0 ? { value: cpuSeconds, bar: COST.barSeconds } : cpuSeconds;
    rows.push([
      placement.name,
      median(long.map(({ first99 }) => first99)),
      median(long.map(({ last99 }) => last99)),
      median(long.map(({ first99, last99 }) => first99 / last99)),
      cost,
    ]);
  }
  report.table({
    head: "commands of a front-end",
    columns: [
      { name: "p99 of the first 10,000", unit: "us", digits: 1, better: "less" },
      { name: "p99 after 200,000", unit: "us", digits: 1, better: "less" },
      { name: "ratio", unit: "", digits: 2, better: "less", bar: LONG.bar },
      { name: "CPU of 10,000, all processes", unit: "s", digits: 3, better: "less" },
    ],
    rows,
  });
}

async function trips(command: string[]): Promise<Trip> {
  const child = Bun.spawn(command, options);
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")}: ${err.trim()}`);
  return JSON.parse(out);
}

/** The executable as users have it, and one front-end. */
async function throughTool(
  program: string,
  { count, other }: { readonly count: number; readonly other: number },
  socket: string,
): Promise<Served> {
  const tool = join(import.meta.dir, "../../dist/vhost-user-video");
  // The process of the front-end inherits the processor.
  const command = ["taskset", "-c", `${other}`, tool, "-b", "null", "-s", socket, "--once"];
  const daemon = Bun.spawn(command, options);
  await says(daemon.stderr, "listening");
  await Bun.sleep(WARM_MS);
  const before = [daemon.pid, ...childrenOf(daemon.pid)].reduce((sum, pid) => sum + ranFor(pid), 0);
  const trip = await trips([program, `${count}`, "0", socket]);
  await daemon.exited;
  const { user = 0n, system = 0n } = daemon.resourceUsage()?.cpuTime ?? {};
  return { ...trip, cpuSeconds: Number(user + system) / 1e6 - before };
}

/** Seconds for which all threads of a process have run: the first number of /proc/PID/task/TID/schedstat. */
function ranFor(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).reduce((sum, tid) => {
    const [ran] = readFileSync(`/proc/${pid}/task/${tid}/schedstat`, "utf8").split(" ");
    return sum + Number(ran) / 1e9;
  }, 0);
}

async function heap(
  program: string,
  socket: string,
): Promise<{ requests: number; heapGrowth: number }> {
  const side = join(import.meta.dir, "rings-side.ts");
  const command = [process.execPath, side, socket, String(HEAP_COMMANDS)];
  const daemon = Bun.spawn(command, options);
  await says(daemon.stderr, "listening");
  await trips([program, String(HEAP_COMMANDS), "0", socket]);
  return JSON.parse(await new Response(daemon.stdout).text());
}

async function says(stream: ReadableStream<Uint8Array>, text: string): Promise<void> {
  const reader = stream.getReader();
  const { value } = await reader.read();
  const said = new TextDecoder().decode(value);
  if (!said.includes(text)) throw new Error(`the back-end did not start: ${said.trim()}`);
}

export const bench: Bench = {
  name: "video",
  title: "a virtio-video command there and back, against an eventfd ping-pong of two C threads",
  run,
};
