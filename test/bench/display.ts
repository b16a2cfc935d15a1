// `bun run bench display`: the ways to show a frame in a window, against a plain C program, on a screen in
// memory with SDL's software renderer; and how old pictures are when they are shown.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { displayNeeds } from "../../scripts/display-needs.ts";
import { ensureDebian } from "../../scripts/ensure.ts";
import { Xvfb } from "../support/xvfb.ts";
import { type Bench, compileC, freePort, median, type Report } from "./bench.ts";
import type { Cell, Column } from "./figures.ts";

const sizes = [
  { width: 640, height: 480, frames: 3000 },
  { width: 1920, height: 1080, frames: 400 },
] as const;
const ROUNDS = 5;
/** Our ways. All but the first copy a frame once, as receiving from a socket does. */
const ways = {
  memory: "receiver_sdl, frames in memory (-e, zero copy)",
  socket: "receiver_sdl, frames out of a socket",
  update: "texture upload",
  lock: "locked texture",
  surface: "window surface",
} as const;
/** The way the tools use. */
const chosen: readonly string[] = ["memory", "socket"];
const LATENCY = { fps: 30, frames: 300, p50Ms: 5 };

interface Result {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

async function measure(command: readonly string[], display: string): Promise<Result> {
  const child = Bun.spawn([...command], {
    // Where Mesa is installed SDL's software renderer shows its pixels through OpenGL, which is software too and
    // five times slower. Our tools turn that off. For a fair comparison it is turned off for the C program, too.
    env: {
      ...process.env,
      DISPLAY: display,
      SDL_VIDEODRIVER: "x11",
      SDL_FRAMEBUFFER_ACCELERATION: "0",
    },
    stdout: "pipe",
    stderr: "inherit",
    stdin: "ignore",
    timeout: 60_000,
  });
  return JSON.parse(await new Response(child.stdout).text());
}

const BASELINE = "C: texture upload, frames in memory";
const columns: readonly Column[] = [
  { name: "rate", unit: "frames/s", digits: 0, better: "more" },
  { name: "CPU", unit: "ms a frame", digits: 2, better: "less" },
  { name: "rate, C = 1", unit: "", digits: 2, better: "more" },
  { name: "CPU, C = 1", unit: "", digits: 2, better: "less" },
];

async function throughput(program: string, display: string, report: Report): Promise<void> {
  const side = join(import.meta.dir, "display-side.ts");
  for (const { width, height, frames } of sizes) {
    const words = [width, height, frames].map(String);
    const baseline: Result[] = [];
    const ours = Object.keys(ways).map((way) => ({ way, results: [] as Result[] }));
    for (let round = 0; round < ROUNDS; round++) {
      baseline.push(await measure([program, ...words], display));
      for (const { way, results } of ours)
        results.push(await measure([process.execPath, side, way, ...words], display));
    }
    const row = (name: string, results: readonly Result[]): [string, number, number] => [
      name,
      median(results.map(({ seconds }) => frames / seconds)),
      median(results.map(({ cpuSeconds }) => (cpuSeconds / frames) * 1000)),
    ];
    const rows: [string, ...Cell[]][] = [row(BASELINE, baseline)];
    for (const { way, results } of ours) {
      const pairs = results.map((result, i) => [result, baseline[i] ?? result] as const);
      const rate = median(pairs.map(([mine, c]) => c.seconds / mine.seconds));
      const cpu = median(pairs.map(([mine, c]) => mine.cpuSeconds / c.cpuSeconds));
      const shown = chosen.includes(way) ? { value: rate, bar: 1 } : rate;
      rows.push([...row(ways[way as keyof typeof ways], results), shown, cpu]);
    }
    report.table({ head: `YUYV ${width}x${height}`, columns, rows, baselines: [BASELINE] });
    report.line("");
  }
}

async function latency(display: string, report: Report): Promise<void> {
  const port = String(freePort());
  const tool = (name: string, ...words: string[]) =>
    Bun.spawn([join(import.meta.dir, "../../dist", name), "-p", port, ...words], {
      env: { ...process.env, DISPLAY: display, SDL_VIDEODRIVER: "x11" },
      stdout: "pipe",
      stderr: "ignore",
      timeout: 60_000,
    });
  const { fps, frames, p50Ms } = LATENCY;
  const receiver = tool("receiver_sdl", "-l", "127.0.0.1", "--json");
  const pictures = ["-d", "testsrc", "-r", String(fps), "-n", String(frames)];
  const sender = tool("sender", "-a", "127.0.0.1", "--reconnect", ...pictures);
  await sender.exited;
  const last = (await new Response(receiver.stdout).text()).trim().split("\n").at(-1) ?? "{}";
  const { latency_p50_ms: p50, latency_p99_ms: p99, shown, passed } = JSON.parse(last);
  report.table({
    head: "",
    columns: [
      { name: "p50", unit: "ms", digits: 2, better: "less", bar: p50Ms, slack: 0.1 },
      { name: "p99", unit: "ms", digits: 2, better: "less", bar: Math.floor(1000 / fps), slack: 1 },
      { name: "frames not shown", unit: "", digits: 0, better: "less", slack: 1 },
      { name: "frames lost", unit: "", digits: 0, better: "less", bar: 0 },
    ],
    rows: [
      [
        `capture to present, YUYV 640x480 at ${fps} fps on loopback`,
        ...[p50, p99, passed, frames - shown - passed],
      ],
    ],
  });
}

async function run(report: Report): Promise<void> {
  ensureDebian(displayNeeds);
  const work = mkdtempSync(join(tmpdir(), "framepass-bench-"));
  const program = join(work, "display");
  try {
    compileC("display.c", program, "-ldl");
    await using screen = await Xvfb.start();
    await throughput(program, screen.display, report);
    await latency(screen.display, report);
  } finally {
    rmSync(work, { recursive: true });
  }
}

export const bench: Bench = {
  name: "display",
  title: "frames to a window against a plain C program, under Xvfb",
  run,
};
