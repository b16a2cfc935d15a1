// `bun run bench latency [copy|zc]`: from capture to the last byte received, on a machine whose processors others keep busy.
// Capture time is when the source's timer was due, so that a sender that gets no processor is late from then on.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectDir } from "../../scripts/ensure.ts";
import { type Bench, compileC, freePort, type Report } from "./bench.ts";
import type { Cell, Column } from "./figures.ts";

const FPS = 60;
/** 30 s. The first frames, for which the runtime still compiles, are counted. */
const FRAMES = 1800;
const PERMITTED_MS = FRAMES * (1000 / FPS) + 30_000;
const P99_BAR_MS = 2;

const flows = {
  copy: { title: "copy flow", sender: "sender", receiver: "receiver" },
  zc: { title: "zero copy by fd", sender: "sender_zc", receiver: "receiver_zc" },
} as const;
type Flow = keyof typeof flows;
const parts = Object.keys(flows) as Flow[];

interface Load {
  readonly title: string;
  /** A busy program each: its words before the program. */
  readonly busy: readonly (readonly string[])[];
  /** It has the bar. */
  readonly judged?: true;
}
const loads: readonly Load[] = [
  { title: "idle machine", busy: [] },
  { title: "one busy program", busy: [[]], judged: true },
  {
    title: "one busy program on processor 0",
    busy: [["taskset", "--cpu-list", "0"]],
    judged: true,
  },
  { title: "two busy programs", busy: [[], []] },
];

const columns: readonly Column[] = [
  { name: "p50", unit: "ms", digits: 2, better: "less", slack: 0.2 },
  { name: "p99", unit: "ms", digits: 2, better: "less", slack: 0.5 },
  { name: "longest", unit: "ms", digits: 2 },
  { name: "dropped frames", unit: "", digits: 0, better: "less", bar: 0 },
];

/** The last record of a receiver. */
interface Stopped {
  readonly frames: number;
  readonly drops: number;
  readonly latency_p50_ms: number;
  readonly latency_p99_ms: number;
  readonly latency_max_ms: number;
}

/** Streams with both executables while the busy programs run. Also answers what the tools warn of. */
async function stream(
  flow: Flow,
  { busy }: Load,
  program: string,
  realtime: boolean,
  address: readonly string[],
): Promise<{ readonly stopped: Stopped; readonly warnings: readonly string[] }> {
  const quiet = { stdin: "ignore", stdout: "ignore", stderr: "ignore" } as const;
  const others = busy.map((words) => Bun.spawn([...words, program], quiet));
  const tool = (name: string, ...words: string[]) =>
    Bun.spawn([join(projectDir, "dist", name), "--stats", "0", "--log-level", "warn", ...words], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: PERMITTED_MS,
    });
  try {
    const { sender, receiver } = flows[flow];
    const [place, ...more] = address;
    const extra = realtime ? ["--realtime"] : [];
    const receiving = tool(receiver, "-l", `${place}`, ...more, "--json", ...extra);
    const source = ["-d", "testsrc", "-W", "640", "-H", "480", "-r", `${FPS}`, "-n", `${FRAMES}`];
    const sending = tool(sender, "-a", `${place}`, ...more, "--reconnect", ...source, ...extra);
    const texts = await Promise.all(
      [receiving.stdout, receiving.stderr, sending.stderr].map((pipe) => new Response(pipe).text()),
    );
    await Promise.all([receiving.exited, sending.exited]);
    const [records = "", ...warnings] = texts;
    const stopped = JSON.parse(records.trim().split("\n").at(-1) ?? "{}") as Stopped;
    if (stopped.frames !== FRAMES)
      throw new Error(`${stopped.frames} of ${FRAMES} frames were received: ${warnings.join("")}`);
    return {
      stopped,
      warnings: warnings.flatMap((text) => text.split("\n")).filter((line) => line !== ""),
    };
  } finally {
    for (const other of others) {
      other.kill();
      await other.exited;
    }
  }
}

async function measure(flow: Flow, work: string, program: string, report: Report): Promise<void> {
  const rows: [string, ...Cell[]][] = [];
  const said = new Set<string>();
  for (const load of loads) {
    for (const realtime of [false, true]) {
      const address =
        flow === "copy" ? ["127.0.0.1", "-p", `${freePort()}`] : [`unix:${join(work, "frames")}`];
      const { stopped, warnings } = await stream(flow, load, program, realtime, address);
      for (const line of warnings) said.add(line);
      const p99 = stopped.latency_p99_ms;
      rows.push([
        `${load.title}${realtime ? ", --realtime" : ""}`,
        stopped.latency_p50_ms,
        load.judged && !realtime ? { value: p99, bar: P99_BAR_MS } : p99,
        stopped.latency_max_ms,
        stopped.drops,
      ]);
    }
  }
  for (const line of said) report.line(line);
  report.table({ head: flows[flow].title, columns, rows });
}

async function run(report: Report, part?: string): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), "framepass-bench-"));
  const program = join(work, "busy");
  try {
    compileC("busy.c", program);
    for (const flow of parts)
      if (part === undefined || part === flow) await measure(flow, work, program, report);
  } finally {
    rmSync(work, { recursive: true });
  }
}

export const bench: Bench = {
  name: "latency",
  title: "capture to received at 60 fps while other programs keep processors busy",
  parts,
  run,
};
