// `bun run bench camera`: a receiver with a camera against ffmpeg -f v4l2 that writes the same frames, in turn. The host has no
// V4L2 output, so both write into the same stand-in for v4l2loopback: one copy into the next of eight buffers.
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Bench, freePort, median, table } from "./bench.ts";
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
const CPU_BAR = 0.8;
const LATENCY_BAR_MS = 3;

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

async function measure(work: string): Promise<boolean> {
  const rows: string[][] = [];
  let met = true;
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
    const ratio = mid(({ ours, theirs }) => cost(ours) / theirs);
    const latency = mid(({ ours }) => ours.latencyMs);
    met &&= ratio <= CPU_BAR && latency <= LATENCY_BAR_MS;
    rows.push([
      `${width}x${height}`,
      mid(({ theirs }) => theirs).toFixed(0),
      mid(({ copy }) => copy).toFixed(0),
      mid(({ ours }) => cost(ours)).toFixed(0),
      `${ratio.toFixed(2)} (${CPU_BAR})`,
      mid(({ ours, copy }) => cost(ours) / copy).toFixed(2),
      `${latency.toFixed(2)} (${LATENCY_BAR_MS})`,
      `${mid(({ ours }) => ours.heapGrowth)}`,
    ]);
  }
  table(
    [
      "YUYV",
      "ffmpeg CPU us a frame",
      "ffmpeg -c:v copy",
      "ours",
      "ours / ffmpeg (bar)",
      "ours / ffmpeg -c:v copy",
      "received to readable p50 ms (bar)",
      "JS heap growth, bytes",
    ],
    rows,
  );
  return met;
}

export const bench: Bench = {
  name: "camera",
  title: "a receiver's camera against ffmpeg -f v4l2 that writes the same frames",
  async run() {
    const work = mkdtempSync("/dev/shm/framepass-bench-");
    try {
      const build = Bun.spawnSync(
        [
          "gcc",
          "-O2",
          "-shared",
          "-fPIC",
          "-o",
          join(work, "node.so"),
          join(import.meta.dir, "camera-node.c"),
          "-ldl",
        ],
        { stderr: "pipe" },
      );
      if (build.exitCode !== 0) throw new Error(build.stderr.toString());
      return await measure(work);
    } finally {
      rmSync(work, { recursive: true });
    }
  },
};
