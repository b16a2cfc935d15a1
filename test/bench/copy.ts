// `bun run bench copy`: our copy flow against a plain C sender and receiver, alternating in one run.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bench, compileC, freePort, median, type Report } from "./bench.ts";
import { measureMetrics } from "./copy-metrics.ts";
import { measureReceiver } from "./copy-receiver.ts";
import type { Cell, Column } from "./figures.ts";
import type { Side } from "./meter.ts";
import { type Pair, runPair } from "./pair.ts";

const sizes = [
  { width: 640, height: 480, frames: 5000, rateBar: 1.1 },
  { width: 1920, height: 1080, frames: 800, rateBar: 1 },
  { width: 3840, height: 2160, frames: 200, rateBar: 1 },
] as const;
const ROUNDS = 7;
const HEAP_FRAMES = 100_000;

/** A pair on a free port. */
const onPort = (command: (side: "send" | "receive", port: number) => string[]): Promise<Pair> => {
  const port = freePort();
  return runPair({ send: command("send", port), receive: command("receive", port) });
};

async function latency(width: number, height: number): Promise<{ p50: number; p99: number }> {
  const port = String(freePort());
  const tool = (name: string, ...words: string[]) =>
    Bun.spawn([join(import.meta.dir, "../../dist", name), "-p", port, "--json", ...words], {
      stdout: "pipe",
      stderr: "ignore",
      timeout: 60_000,
    });
  const receiver = tool("receiver", "-l", "127.0.0.1");
  const sender = tool(
    "sender",
    "-a",
    "127.0.0.1",
    "--reconnect",
    "-d",
    "testsrc",
    "-r",
    "60",
    "-n",
    "300",
    "-W",
    String(width),
    "-H",
    String(height),
  );
  await sender.exited;
  const last = (await new Response(receiver.stdout).text()).trim().split("\n").at(-1) ?? "{}";
  const { latency_p50_ms: p50, latency_p99_ms: p99 } = JSON.parse(last);
  return { p50, p99 };
}

/** Milliseconds from starting the executable to the first byte of a picture at the receiver. */
async function startUp(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: () => resolve(performance.now()) },
  });
  const from = performance.now();
  const command = [
    join(import.meta.dir, "../../dist/sender"),
    "-a",
    "127.0.0.1",
    "-p",
    String(server.port),
    "-d",
    "testsrc",
    "-n",
    "1",
  ];
  const sender = Bun.spawn(command, { stdout: "ignore", stderr: "ignore", timeout: 10_000 });
  const at = await promise;
  sender.kill();
  await sender.exited;
  server.stop(true);
  return at - from;
}

async function run(report: Report, part?: string): Promise<void> {
  if (part === "metrics") return await measureMetrics(report);
  const work = mkdtempSync(join(tmpdir(), "framepass-bench-"));
  const program = join(work, "copy");
  try {
    compileC("copy.c", program);
    await measureReceiver(program, report);
    if (part === "receiver") return;
    await measure(program, report);
    await measureMetrics(report);
  } finally {
    rmSync(work, { recursive: true });
  }
}

const sides = ["sender", "receiver"];
const columns: readonly Column[] = [
  { name: "C rate", unit: "MB/s", digits: 0 },
  { name: "our rate", unit: "MB/s", digits: 0, better: "more" },
  { name: "rate, ours / C", unit: "", digits: 2, better: "more", bar: 1 },
  { name: "C CPU", unit: "s/GB", digits: 3, parts: sides },
  { name: "our CPU", unit: "s/GB", digits: 3, better: "less", parts: sides },
  { name: "CPU, ours / C", unit: "", digits: 2, better: "less", parts: sides },
  { name: "CPU, ours / C, both", unit: "", digits: 2, better: "less", bar: 1 },
  { name: "latency at 60 fps", unit: "ms", digits: 2, better: "less", parts: ["p50", "p99"] },
  { name: "RSS", unit: "MiB", digits: 0, better: "less", parts: sides },
];

async function measure(program: string, report: Report): Promise<void> {
  const side = join(import.meta.dir, "copy-side.ts");
  const rows: [string, ...Cell[]][] = [];
  for (const { width, height, frames, rateBar } of sizes) {
    const bytes = width * height * 2;
    const pairs: { c: Pair; ours: Pair }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const words = (what: string, port: number) => [what, port, width, height, frames].map(String);
      const c = await onPort((what, port) => [program, ...words(what, port)]);
      const ours = await onPort((what, port) => [process.execPath, side, ...words(what, port)]);
      pairs.push({ c, ours });
    }
    const rate = ({ receive }: Pair) => (receive.frames * bytes) / receive.seconds / 1e6;
    const cost = (one: Side) => (one.cpuSeconds / (one.frames * bytes)) * 1e9;
    const mid = (value: (pair: { c: Pair; ours: Pair }) => number) => median(pairs.map(value));
    const both = (value: (pair: { c: Pair; ours: Pair }, what: "send" | "receive") => number) =>
      (["send", "receive"] as const).map((what) => mid((pair) => value(pair, what)));
    const ratio = mid(({ c, ours }) => rate(ours) / rate(c));
    const total = mid(
      ({ c, ours }) => (cost(ours.send) + cost(ours.receive)) / (cost(c.send) + cost(c.receive)),
    );
    const { p50, p99 } = await latency(width, height);
    rows.push([
      `${width}x${height}`,
      mid(({ c }) => rate(c)),
      mid(({ ours }) => rate(ours)),
      { value: ratio, bar: rateBar },
      both(({ c }, what) => cost(c[what])),
      both(({ ours }, what) => cost(ours[what])),
      both(({ c, ours }, what) => cost(ours[what]) / cost(c[what])),
      total,
      [p50, p99],
      both(({ ours }, what) => ours[what].rssMib),
    ]);
  }
  report.table({ head: "YUYV", columns, rows });
  const heap = await onPort((what, port) => [
    process.execPath,
    side,
    what,
    String(port),
    "64",
    "48",
    String(HEAP_FRAMES),
  ]);
  const starts: number[] = [];
  for (let i = 0; i < 11; i++) starts.push(await startUp());
  report.table({
    head: "",
    columns: [
      {
        name: "JS heap growth",
        unit: "bytes",
        digits: 0,
        better: "less",
        slack: 2 ** 16,
        parts: sides,
      },
      { name: "start to first byte sent", unit: "ms", digits: 0, better: "less", bar: 60 },
    ],
    rows: [
      [
        `${HEAP_FRAMES} frames of 64x48`,
        [heap.send.heapGrowth, heap.receive.heapGrowth],
        undefined,
      ],
      ["sender with testsrc", undefined, median(starts)],
    ],
  });
}

export const bench: Bench = {
  name: "copy",
  title: "the copy flow against two plain C programs, loopback TCP",
  parts: ["metrics", "receiver"],
  run,
};
