// `bun run bench idle`: what the executables cost when they have little to do: wake-ups while they listen, processor time at a
// camera's rate beside a C program with the same calls, and resident memory.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fd } from "../../ffi/fd.ts";
import { type Bench, compileC, freePort, type Report } from "./bench.ts";
import type { Cell } from "./figures.ts";
import { started } from "./pair.ts";
import { useOf } from "./process-use.ts";

/** Pages that only the start needed are given back up to half a minute after it, and then once more after a minute. */
const IDLE = { settleMs: 32_000, seconds: 20, wakeUpsBar: 0.1 } as const;
const STEADY = { width: 1920, height: 1080, fps: 60, seconds: 20 } as const;
/** Processor time in per cent of a core: in the first 20 s, while the runtime compiles, and in the 20 s after. */
const STEADY_BARS = [1, 0.5] as const;
/** When memory is looked at, and the most that may be resident. */
const MEMORY = { atSeconds: [5, 15, 45], mibBar: 40 } as const;

const dist = join(import.meta.dir, "../../dist");
const sides = ["sender", "receiver"];

type Child = Bun.Subprocess<"ignore", "ignore", "pipe">;

/** Starts an executable that ends with `owned`. */
function start(owned: AsyncDisposableStack, [name, ...words]: readonly string[]): Child {
  const options = { stdin: "ignore", stdout: "ignore", stderr: "pipe" } as const;
  const child = Bun.spawn([join(dist, `${name}`), ...words], options);
  owned.defer(async () => {
    child.kill("SIGTERM");
    await child.exited;
  });
  return child;
}

/** How often each thread of a process has waited, by its id. The first one has that of the process. */
function waitsOf(pid: number): Map<number, number> {
  const threads = readdirSync(`/proc/${pid}/task`).map(Number);
  return new Map(
    threads.map((thread) => {
      const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8");
      return [thread, Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(status)?.[1])];
    }),
  );
}

async function measureIdle(work: string, report: Report): Promise<void> {
  await using owned = new AsyncDisposableStack();
  const tools = [
    ["receiver", "-p", `${freePort()}`, "--keep"],
    ["receiver_zc", "-l", `unix:${join(work, "zc")}`, "--keep"],
    ["vhost-user-video", "-b", "null", "-s", join(work, "video")],
    ["vhost-user-media", "-d", "testsrc", "-s", join(work, "media")],
  ];
  const children = tools.map((tool) => start(owned, tool));
  await Promise.all(children.map(started));
  await Bun.sleep(IDLE.settleMs);
  const look = () =>
    children.map(({ pid }) => ({ pid, waits: waitsOf(pid), cpu: useOf([pid]).cpuSeconds }));
  const before = look();
  await Bun.sleep(IDLE.seconds * 1000);
  const rows = look().map(({ pid, waits, cpu }, i): [string, ...Cell[]] => {
    const then = before[i];
    // Threads that have ended meanwhile are left out.
    const rates = [...waits].map(
      ([thread, count]) =>
        [thread, (count - (then?.waits.get(thread) ?? 0)) / IDLE.seconds] as const,
    );
    const first = rates.find(([thread]) => thread === pid)?.[1];
    const all = rates.reduce((sum, [, rate]) => sum + rate, 0);
    return [`${tools[i]?.[0]}`, first, all, ((cpu - (then?.cpu ?? 0)) * 1000) / IDLE.seconds];
  });
  const less = { digits: 2, better: "less" } as const;
  report.table({
    head: "listening",
    columns: [
      { name: "wake-ups of the loop", unit: "/s", ...less, bar: IDLE.wakeUpsBar },
      { name: "of all threads", unit: "/s", ...less, slack: 1 },
      { name: "CPU", unit: "ms/s", ...less, slack: 0.5 },
    ],
    rows,
  });
}

/** Runs a stream; answers the processor time of each end, in per cent, in each of two times of the same length. */
async function load(words: Readonly<Record<"send" | "receive", readonly string[]>>) {
  await using owned = new AsyncDisposableStack();
  const receiver = start(owned, ["receiver_zc", ...words.receive, "--stats", "0"]);
  await started(receiver);
  const { width, height, fps, seconds } = STEADY;
  const size = ["-W", `${width}`, "-H", `${height}`, "-r", `${fps}`];
  const sender = start(owned, [
    "sender_zc",
    ...words.send,
    "-d",
    "testsrc",
    ...size,
    "--stats",
    "0",
  ]);
  const used = () => [sender, receiver].map(({ pid }) => useOf([pid]).cpuSeconds);
  let before = [0, 0]; // their start is in the first time
  const loads: number[][] = [];
  for (let times = 0; times < STEADY_BARS.length; times++) {
    await Bun.sleep(seconds * 1000);
    const now = used();
    loads.push(now.map((value, i) => (100 * (value - (before[i] ?? 0))) / seconds));
    before = now;
  }
  return loads;
}

async function measureSteady(work: string, report: Report): Promise<void> {
  const rows: [string, ...Cell[]][] = [];
  using region = Fd.memory("framepass-bench-region", 64 * 1024 * 1024);
  const socket = `unix:${join(work, "zc")}`;
  rows.push(["fd", ...(await load({ send: ["-a", socket], receive: ["-l", socket] }))]);
  const shared = ["-p", `${freePort()}`, "-R", `/proc/${process.pid}/fd/${region.number}`];
  const tcp = { send: ["-a", "127.0.0.1", ...shared], receive: ["-l", "127.0.0.1", ...shared] };
  rows.push(["dax", ...(await load(tcp))]);
  const floor = join(work, "floor");
  compileC("floor.c", floor);
  const { stdout } = Bun.spawnSync([floor, `${STEADY.fps}`, `${STEADY.seconds}`]);
  const inC = stdout.toString().trim().split(" ").map(Number);
  rows.push(["the same calls in C", undefined, inC]);
  const less = { unit: "%", digits: 2, better: "less", parts: sides, slack: 0.1 } as const;
  const { width, height, fps, seconds } = STEADY;
  report.table({
    head: `${width}x${height} YUYV at ${fps} fps`,
    columns: [
      { name: `CPU in the first ${seconds} s`, ...less, bar: STEADY_BARS[0] },
      { name: `in the next ${seconds} s`, ...less, bar: STEADY_BARS[1] },
    ],
    rows,
    baselines: ["the same calls in C"],
  });
}

async function measureMemory(_work: string, report: Report): Promise<void> {
  await using owned = new AsyncDisposableStack();
  const port = `${freePort()}`;
  const receiver = start(owned, ["receiver", "-l", "127.0.0.1", "-p", port, "--stats", "0"]);
  await started(receiver);
  const to = ["-a", "127.0.0.1", "-p", port, "-d", "testsrc", "--stats", "0"];
  const sender = start(owned, ["sender", ...to]);
  const rows: [string, ...Cell[]][] = [];
  let atSeconds = 0;
  for (const next of MEMORY.atSeconds) {
    await Bun.sleep((next - atSeconds) * 1000);
    atSeconds = next;
    const uses = [sender, receiver].map(({ pid }) => useOf([pid]));
    rows.push([
      `after ${next} s`,
      uses.map(({ rssMib }) => rssMib),
      uses.map(({ anonMib }) => anonMib),
      uses.map(({ fileMib }) => fileMib),
      uses.map(({ rssMib, anonMib, fileMib }) => rssMib - anonMib - fileMib),
    ]);
  }
  const less = { unit: "MiB", digits: 1, better: "less", parts: sides, slack: 4 } as const;
  report.table({
    head: "640x480 at 30 fps, copy flow",
    columns: [
      { name: "resident", ...less, bar: MEMORY.mibBar },
      { name: "own", ...less },
      { name: "of files, shared by all processes", ...less },
      { name: "frames", ...less },
    ],
    rows,
  });
}

/** What can be measured alone, by name. */
const parts = { listening: measureIdle, steady: measureSteady, memory: measureMemory } as const;

async function run(report: Report, part?: string): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), "framepass-bench-"));
  try {
    for (const [name, measure] of Object.entries(parts))
      if ((part ?? name) === name) await measure(work, report);
  } finally {
    rmSync(work, { recursive: true });
  }
}

export const bench: Bench = {
  name: "idle",
  title: "tools that have little to do: wake-ups, processor time at a camera's rate, memory",
  parts: Object.keys(parts),
  run,
};
