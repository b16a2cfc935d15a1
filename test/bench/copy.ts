// `bun run bench copy`: our copy flow against a plain C sender and receiver, alternating in one run.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bench, freePort, median, table } from "./bench.ts";
import { measureMetrics } from "./copy-metrics.ts";
import type { Side } from "./meter.ts";
import { type Pair, runPair } from "./pair.ts";

const sizes = [
  { width: 640, height: 480, frames: 5000 },
  { width: 1920, height: 1080, frames: 800 },
  { width: 3840, height: 2160, frames: 200 },
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

/** `bun run bench copy metrics`: only what --metrics costs. */
async function run([part]: readonly string[]): Promise<boolean> {
  if (part === "metrics") return await measureMetrics();
  const work = mkdtempSync(join(tmpdir(), "framepass-bench-"));
  const program = join(work, "copy");
  try {
    const build = Bun.spawnSync(["gcc", "-O2", "-o", program, join(import.meta.dir, "copy.c")]);
    if (build.exitCode !== 0) throw new Error(build.stderr.toString());
    const met = await measure(program);
    return (await measureMetrics()) && met;
  } finally {
    rmSync(work, { recursive: true });
  }
}

async function measure(program: string): Promise<boolean> {
  const side = join(import.meta.dir, "copy-side.ts");
  const rows: string[][] = [];
  let met = true;
  for (const { width, height, frames } of sizes) {
    const bytes = width * height * 2;
    const pairs: { c: Pair; ours: Pair }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const c = await onPort((what, port) => [
        program,
        what,
        String(port),
        String(bytes),
        String(frames),
      ]);
      const words = (what: string, port: number) => [what, port, width, height, frames].map(String);
      const ours = await onPort((what, port) => [process.execPath, side, ...words(what, port)]);
      pairs.push({ c, ours });
    }
    const rate = ({ receive }: Pair) => (receive.frames * bytes) / receive.seconds / 1e6;
    const cost = (one: Side) => (one.cpuSeconds / (one.frames * bytes)) * 1e9;
    const mid = (value: (pair: { c: Pair; ours: Pair }) => number) => median(pairs.map(value));
    const ratio = mid(({ c, ours }) => rate(ours) / rate(c));
    const sendCost = mid(({ c, ours }) => cost(ours.send) / cost(c.send));
    const receiveCost = mid(({ c, ours }) => cost(ours.receive) / cost(c.receive));
    const total = mid(
      ({ c, ours }) => (cost(ours.send) + cost(ours.receive)) / (cost(c.send) + cost(c.receive)),
    );
    met &&= ratio >= (width === 640 ? 1.1 : 1) && total <= 1;
    const { p50, p99 } = await latency(width, height);
    rows.push([
      `${width}x${height}`,
      mid(({ c }) => rate(c)).toFixed(0),
      mid(({ ours }) => rate(ours)).toFixed(0),
      ratio.toFixed(2),
      `${mid(({ c }) => cost(c.send)).toFixed(3)} + ${mid(({ c }) => cost(c.receive)).toFixed(3)}`,
      `${mid(({ ours }) => cost(ours.send)).toFixed(3)} + ${mid(({ ours }) => cost(ours.receive)).toFixed(3)}`,
      `${sendCost.toFixed(2)} + ${receiveCost.toFixed(2)}, together ${total.toFixed(2)}`,
      `${p50.toFixed(2)} / ${p99.toFixed(2)}`,
      `${mid(({ ours }) => ours.send.rssMib)} + ${mid(({ ours }) => ours.receive.rssMib)}`,
    ]);
  }
  table(
    [
      "YUYV",
      "C MB/s",
      "ours MB/s",
      "ratio",
      "C CPU s/GB",
      "ours CPU s/GB",
      "CPU ratio",
      "latency p50/p99 ms at 60 fps",
      "RSS MiB",
    ],
    rows,
  );
  const heap = await onPort((what, port) => [
    process.execPath,
    side,
    what,
    String(port),
    "64",
    "48",
    String(HEAP_FRAMES),
  ]);
  console.log(
    `JS heap growth over ${HEAP_FRAMES} frames: sender ${heap.send.heapGrowth} bytes, receiver ${heap.receive.heapGrowth} bytes`,
  );
  const starts: number[] = [];
  for (let i = 0; i < 11; i++) starts.push(await startUp());
  console.log(`start to first byte sent from testsrc: median ${median(starts).toFixed(0)} ms`);
  return met && median(starts) <= 60;
}

export const bench: Bench = {
  name: "copy",
  title: "the copy flow against two plain C programs, loopback TCP",
  run,
};
