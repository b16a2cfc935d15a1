// `bun run bench many`: one receiver of 16 senders against 16 receivers, in both flows: processor time, memory, and that neither
// loses a frame; and 15 senders at a camera's rate beside one that sends as fast as it can.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bench, freePort, median, type Report } from "./bench.ts";
import type { Cell, Column } from "./figures.ts";
import type { ManySide } from "./many-side.ts";
import { started } from "./pair.ts";
import { type Use, useOf } from "./process-use.ts";

const SIZE = { width: 640, height: 480 };
const FPS = 30;
const STREAMS = 16;
const BUFFERS = 4;
const ROUNDS = 3;
/** The runtime compiles the code of a frame in the first seconds. */
const WARM_UP_MS = 4000;
const MEASURED_MS = 6000;

type Flow = ManySide["flow"];
interface Place {
  readonly text: string;
  readonly port?: number | undefined;
}

const executables = { copy: "receiver", fd: "receiver_zc" } as const;
const dist = join(import.meta.dir, "../../dist");
const side = join(import.meta.dir, "many-side.ts");

interface Receiver {
  readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly place: Place;
}

async function receiver(flow: Flow, work: string, words: readonly string[]): Promise<Receiver> {
  const place: Place =
    flow === "copy"
      ? { text: "127.0.0.1", port: freePort() }
      : { text: `unix:${join(work, `socket${freePort()}`)}` };
  const at = place.port === undefined ? [] : ["-p", `${place.port}`];
  const share = flow === "fd" ? ["--share", "fd"] : [];
  const own = ["-l", place.text, ...at, "--keep", "--json", "--stats", "0"];
  const child = Bun.spawn([join(dist, executables[flow]), ...own, ...share, ...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  await started(child);
  return { child, place };
}

function senders(flow: Flow, places: readonly Place[], fps: number) {
  const task: ManySide = { flow, addresses: places, ...SIZE, fps, buffers: BUFFERS };
  return Bun.spawn([process.execPath, side, JSON.stringify(task)], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "inherit",
  });
}

/** What a receiver says of one sender at its end. */
interface Stopped {
  readonly record: string;
  readonly sender?: number;
  readonly frames: number;
  readonly drops: number;
}

async function stopped({ child }: Receiver): Promise<Stopped[]> {
  child.kill("SIGTERM");
  const text = await new Response(child.stdout).text();
  await child.exited;
  const all = text.split("\n").filter((line) => line !== "");
  return all
    .map((line) => JSON.parse(line) as Stopped)
    .filter(({ record }) => record === "stopped");
}

interface Measured extends Use {
  /** Per second. */
  readonly cpu: number;
  readonly streams: readonly Stopped[];
}

/** Streams to one receiver for `count` senders, or to as many receivers as there are streams. */
async function measure(
  flow: Flow,
  work: string,
  receivers: number,
  streams: number,
  fast = 0,
): Promise<Measured> {
  const all: Receiver[] = [];
  const feeding: ReturnType<typeof senders>[] = [];
  try {
    const words = receivers === 1 ? ["--senders", `${streams}`] : [];
    for (let i = 0; i < receivers; i++) all.push(await receiver(flow, work, words));
    const places = Array.from({ length: streams }, (_, i) => {
      const { place } = all[i % receivers] as Receiver;
      return place;
    });
    feeding.push(senders(flow, places.slice(fast), FPS));
    await Bun.sleep(WARM_UP_MS / 2);
    if (fast > 0) feeding.push(senders(flow, places.slice(0, fast), 0));
    await Bun.sleep(WARM_UP_MS / 2);
    const pids = all.map(({ child }) => child.pid);
    const [before, beforeMs] = [useOf(pids), performance.now()];
    await Bun.sleep(MEASURED_MS);
    const after = useOf(pids);
    const seconds = (performance.now() - beforeMs) / 1000;
    const ends = (await Promise.all(all.map(stopped))).flat();
    const own = receivers === 1 ? ends.filter(({ sender }) => sender !== undefined) : ends;
    return { ...after, cpu: (after.cpuSeconds - before.cpuSeconds) / seconds, streams: own };
  } finally {
    for (const child of [...feeding, ...all.map((one) => one.child)]) {
      child.kill("SIGKILL");
      await child.exited;
    }
  }
}

const dropsOf = ({ streams }: Measured) => streams.reduce((sum, { drops }) => sum + drops, 0);
const PERCENT = 100;

const together: readonly Column[] = [
  { name: "one process, CPU", unit: "%", digits: 1, better: "less" },
  { name: `${STREAMS} processes, CPU`, unit: "%", digits: 1, better: "less" },
  { name: "ratio", unit: "", digits: 2, better: "less", bar: 1 },
  {
    name: "RSS",
    unit: "MiB",
    digits: 0,
    better: "less",
    parts: ["1 stream", `${STREAMS} streams`],
  },
  { name: "RSS of a further stream", unit: "MiB", digits: 2, better: "less", bar: 8, slack: 0.1 },
  { name: `${STREAMS} processes, RSS without files`, unit: "MiB", digits: 0, better: "less" },
  { name: "frames lost, one process", unit: "", digits: 0, better: "less", bar: 0 },
  { name: `frames lost, ${STREAMS} processes`, unit: "", digits: 0, better: "less" },
];

async function compare(flow: Flow, work: string): Promise<[string, ...Cell[]]> {
  const [alone, one, many]: [Measured[], Measured[], Measured[]] = [[], [], []];
  for (let round = 0; round < ROUNDS; round++) {
    alone.push(await measure(flow, work, 1, 1));
    one.push(await measure(flow, work, 1, STREAMS));
    many.push(await measure(flow, work, STREAMS, STREAMS));
  }
  const of = (runs: readonly Measured[], value: (run: Measured) => number) =>
    median(runs.map(value));
  const ratio = of(one, ({ cpu }) => cpu) / of(many, ({ cpu }) => cpu);
  const rss = (runs: readonly Measured[]) => of(runs, ({ rssMib }) => rssMib);
  const streamMib = (rss(one) - rss(alone)) / (STREAMS - 1);
  return [
    flow,
    PERCENT * of(one, ({ cpu }) => cpu),
    PERCENT * of(many, ({ cpu }) => cpu),
    ratio,
    [rss(alone), rss(one)],
    streamMib,
    rss(many) - of(many, ({ fileMib }) => fileMib),
    of(one, dropsOf),
    of(many, dropsOf),
  ];
}

/** One sender as fast as it can beside the others. */
const unequal: readonly Column[] = [
  { name: "the fast sender", unit: "frames/s", digits: 0, better: "more" },
  {
    name: `frames that the other ${STREAMS - 1} lost`,
    unit: "",
    digits: 0,
    better: "less",
    bar: 0,
  },
];

async function beside(flow: Flow, work: string): Promise<[string, ...Cell[]]> {
  const runs: Measured[] = [];
  for (let round = 0; round < ROUNDS; round++) runs.push(await measure(flow, work, 1, STREAMS, 1));
  const fastest = ({ streams }: Measured) =>
    streams.reduce((most, stream) => (stream.frames > most.frames ? stream : most));
  const lost = runs.map((run) => dropsOf(run) - fastest(run).drops);
  const frames = median(runs.map((run) => fastest(run).frames));
  const seconds = (WARM_UP_MS / 2 + MEASURED_MS) / 1000;
  return [flow, frames / seconds, median(lost)];
}

async function run(report: Report): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), "framepass-bench-"));
  try {
    for (const [head, columns, measured] of [
      ["flow", together, compare],
      ["one fast sender", unequal, beside],
    ] as const) {
      const rows: [string, ...Cell[]][] = [];
      for (const flow of ["copy", "fd"] as const) rows.push(await measured(flow, work));
      report.table({ head, columns, rows });
    }
  } finally {
    rmSync(work, { recursive: true });
  }
}

export const bench: Bench = {
  name: "many",
  title: `${STREAMS} senders at ${FPS} fps: one receiver for all against one for each`,
  run,
};
