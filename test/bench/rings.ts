// `bun run bench video`, rings: the round trip of a command against two threads of a C program that only wake each other.
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { type Bench, compileC, median, type Report } from "./bench.ts";
import type { Cell } from "./figures.ts";

const ROUNDS = 7;
/** The processor of the other side: to wake a sleeping processor costs much more than a switch on one. */
const placements = [
  { name: "one processor", other: 0, count: 60_000 },
  { name: "two processors", other: 1, count: 20_000 },
] as const;
type Placement = (typeof placements)[number];
const HEAP_COMMANDS = 200_000;
/** A command may take so many times as long as the threads. */
const BAR = 3;

interface Trip {
  readonly p50: number;
  readonly p99: number;
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
      rows.push([`${name}, ${part}`, us("threads"), us("ours"), ratio]);
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
  { count, other }: Placement,
  socket: string,
): Promise<Trip> {
  const tool = join(import.meta.dir, "../../dist/vhost-user-video");
  const daemon = Bun.spawn([tool, "-b", "null", "-s", socket, "--once"], options);
  await says(daemon.stderr, "listening");
  Bun.spawnSync(["taskset", "-pc", `${other}`, `${daemon.pid}`]); // the process of the front-end inherits it
  const trip = await trips([program, `${count}`, "0", socket]);
  await daemon.exited;
  return trip;
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
