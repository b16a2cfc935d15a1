// `bun run bench camera`: a receiver with a camera against ffmpeg -f v4l2 that writes the same frames, in turn. The host has no
// V4L2 output, so both write into the same stand-in for v4l2loopback: one copy into the next of eight buffers.
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Bench, compileC, freePort, median, type Report } from "./bench.ts";
import type { Cell, Column } from "./figures.ts";
import type { Side } from "./meter.ts";
import { runPair } from "./pair.ts";

const sizes = [
  { width: 640, height: 480, frames: 4000 },
  { width: 1920, height: 1080, frames: 800 },
] as const;
type Size = (typeof sizes)[number];

const ROUNDS = 7;
/** ffmpeg's run with so many frames says what its start costs. */
const FEW = 10;

/** Microseconds of ffmpeg's processor time for a frame, which it reads from memory (a file in /dev/shm). */
async function ofFfmpeg(work: string, size: Size, words: readonly string[]): Promise<number> {
  const { width, height, frames } = size;
  const run = async (count: number): Promise<number> => {
    const command = [
      ...["ffmpeg", "-nostdin", "-v", "error", "-stream_loop", "-1", "-f", "rawvideo"],
      ...["-pixel_format", "yuyv422", "-video_size", `${width}x${height}`, "-framerate", "60"],
      ...["-i", join(work, "frames"), "-frames:v", String(count), ...words],
      ...["-f", "v4l2", "/dev/video-bench"],
    ];
    const env = { ...process.env, LD_PRELOAD: join(work, "node.so") };
    const ffmpeg = Bun.spawn(command, { env, stdout: "ignore", stderr: "pipe", timeout: 120_000 });
    const text = await new Response(ffmpeg.stderr).text();
    if ((await ffmpeg.exited) !== 0) throw new Error(`ffmpeg: ${text.trim()}`);
    return Number(ffmpeg.resourceUsage()?.cpuTime.total ?? 0);
  };
  const few = await run(FEW);
  return ((await run(frames)) - few) / (frames - FEW);
}

interface Ours extends Side {
  readonly latencyMs: number;
}

async function ofOurs({ width, height, frames }: Size): Promise<Ours> {
  const port = freePort();
  const side = (file: string, ...words: (string | number)[]) => [
    process.execPath,
    join(import.meta.dir, file),
    ...words.map(String),
  ];
  const { receive } = await runPair({
    send: side("copy-side.ts", "send", port, width, height, frames),
    receive: side("camera-side.ts", port, frames),
  });
  return receive as Ours;
}

const columns: readonly Column[] = [
  { name: "ffmpeg CPU", unit: "us a frame", digits: 0 },
  { name: "ffmpeg -c:v copy CPU", unit: "us a frame", digits: 0 },
  { name: "our CPU", unit: "us a frame", digits: 0, better: "less" },
  { name: "ours / ffmpeg", unit: "", digits: 2, better: "less", bar: 0.8 },
  { name: "ours / ffmpeg -c:v copy", unit: "", digits: 2, better: "less" },
  { name: "received to readable p50", unit: "ms", digits: 2, better: "less", bar: 3, slack: 0.05 },
  { name: "JS heap growth", unit: "bytes", digits: 0, better: "less", slack: 2 ** 18 },
];

async function measure(work: string, report: Report): Promise<void> {
  const rows: [string, ...Cell[]][] = [];
  for (const size of sizes) {
    const { width, height } = size;
    await Bun.write(join(work, "frames"), new Uint8Array(10 * width * height * 2).fill(0x80));
    const rounds: { theirs: number; copy: number; ours: Ours }[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      const theirs = await ofFfmpeg(work, size, []);
      const ours = await ofOurs(size);
      rounds.push({ theirs, ours, copy: await ofFfmpeg(work, size, ["-c:v", "copy"]) });
    }
    const cost = ({ cpuSeconds, frames }: Side) => (cpuSeconds * 1e6) / frames;
    const mid = (of: (round: (typeof rounds)[number]) => number) => median(rounds.map(of));
    rows.push([
      `${width}x${height}`,
      mid(({ theirs }) => theirs),
      mid(({ copy }) => copy),
      mid(({ ours }) => cost(ours)),
      mid(({ ours, theirs }) => cost(ours) / theirs),
      mid(({ ours, copy }) => cost(ours) / copy),
      mid(({ ours }) => ours.latencyMs),
      mid(({ ours }) => ours.heapGrowth),
    ]);
  }
  report.table({ head: "YUYV", columns, rows });
}

export const bench: Bench = {
  name: "camera",
  title: "a receiver's camera against ffmpeg -f v4l2 that writes the same frames",
  async run(report) {
    const work = mkdtempSync("/dev/shm/framepass-bench-");
    try {
      compileC("camera-node.c", join(work, "node.so"), "-shared", "-fPIC", "-ldl");
      await measure(work, report);
    } finally {
      rmSync(work, { recursive: true });
    }
  },
};
