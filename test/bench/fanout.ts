// `bun run bench fanout`: the sender's processor time with three receivers against one, at a camera's rate, in both flows.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bench, freePort, median, type Report } from "./bench.ts";
import type { FanoutSide } from "./fanout-side.ts";
import type { Cell } from "./figures.ts";
import type { Side } from "./meter.ts";
import { started } from "./pair.ts";
import type { ZcSide } from "./zc-side.ts";

const SIZE = { width: 1280, height: 720 };
const FPS = 60;
/** Half of them for the runtime to compile the code. */
const FRAMES = 720;
const BUFFERS = 8;
const ROUNDS = 3;
/** Most times the processor time of one receiver that three may cost. */
const bars = { copy: 3, fd: 1.3 } as const;
type Flow = keyof typeof bars;

const here = (file: string) => join(import.meta.dir, file);

/** A receiver of a flow: its command, and its address for the sender. */
function receiver(flow: Flow, work: string, n: number) {
  if (flow === "copy") {
    const port = freePort();
    const { width, height } = SIZE;
    const words = ["receive", port, width, height, FRAMES].map(String);
    return { words: [here("copy-side.ts"), ...words], address: { text: "127.0.0.1", port } };
  }
  const address = `unix:${join(work, `socket${n}`)}`;
  const task: ZcSide = {
    ...SIZE,
    side: "receive",
    share: "fd",
    address,
    region: "",
    frames: FRAMES,
    buffers: BUFFERS,
    inFlight: BUFFERS - 1,
    fps: FPS,
  };
  return { words: [here("zc-side.ts"), JSON.stringify(task)], address: { text: address } };
}

/** Sends to so many receivers; what the sender and what each receiver measured. */
async function send(flow: Flow, work: string, count: number): Promise<Side[]> {
  const receivers = Array.from({ length: count }, (_, n) => receiver(flow, work, n));
  const options = { stdout: "pipe", stderr: "pipe", stdin: "ignore", timeout: 120_000 } as const;
  const start = (words: readonly string[]) => Bun.spawn([process.execPath, ...words], options);
  const children: ReturnType<typeof start>[] = [];
  for (const { words } of receivers) {
    const child = start(words);
    children.push(child);
    await started(child);
  }
  const addresses = receivers.map(({ address }) => address);
  const task: FanoutSide = { flow, addresses, ...SIZE, frames: FRAMES, fps: FPS, buffers: BUFFERS };
  children.unshift(start([here("fanout-side.ts"), JSON.stringify(task)]));
  return await Promise.all(
    children.map(async (child) => {
      const text = await new Response(child.stdout).text();
      if ((await child.exited) === 0) return JSON.parse(text) as Side;
      throw new Error(
        `a side ended with ${child.exitCode}: ${await new Response(child.stderr).text()}`,
      );
    }),
  );
}

const perFrameUs = ({ cpuSeconds, frames }: Side) => (cpuSeconds / frames) * 1e6;

async function run(report: Report): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), "framepass-bench-"));
  const rows: [string, ...Cell[]][] = [];
  try {
    for (const flow of ["copy", "fd"] as const) {
      const cost: Record<1 | 3, number[]> = { 1: [], 3: [] };
      for (let round = 0; round < ROUNDS; round++) {
        for (const count of [1, 3] as const) {
          const [sender] = await send(flow, work, count);
          if (sender !== undefined) cost[count].push(perFrameUs(sender));
        }
      }
      const [one, three] = [median(cost[1]), median(cost[3])];
      rows.push([flow, one, three, { value: three / one, bar: bars[flow] }]);
    }
  } finally {
    rmSync(work, { recursive: true });
  }
  report.table({
    head: "flow",
    columns: [
      { name: "1 receiver, CPU", unit: "us a frame", digits: 0, better: "less" },
      { name: "3 receivers, CPU", unit: "us a frame", digits: 0, better: "less" },
      { name: "ratio", unit: "", digits: 2, better: "less" },
    ],
    rows,
  });
}

export const bench: Bench = {
  name: "fanout",
  title: "the sender's processor time with three receivers against one, in both flows",
  run,
};
