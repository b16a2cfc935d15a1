// `bun run bench video`, libavcodec: a clip through the daemon against ffmpeg, which decodes the same clip and drops the pictures.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureDebian } from "../../scripts/ensure.ts";
import { type Bench, median, type Report } from "./bench.ts";
import type { Latencies } from "./command-latency-side.ts";
import type { Cell, Column } from "./figures.ts";
import type { Figures, Task } from "./software-decode-side.ts";

const ROUNDS = 5;
/** Most processor time, both processes together, as a part of ffmpeg's. */
const CPU_BAR = 1.1;
const READY_BAR_MS = 100;
/** A command may take so many times as long while four streams are decoded. */
const LATENCY_BAR = 3;

/** Clips: 300 pictures, `loops` times; the part of ffmpeg's rate that we must reach. */
const clips = [
  { codec: "H.264", coded: 0x1002, width: 640, height: 480, loops: 8, bar: 0.9 },
  { codec: "H.264", coded: 0x1002, width: 1920, height: 1080, loops: 3, bar: 0.95 },
  { codec: "VP9", coded: 0x1005, width: 640, height: 480, loops: 8, bar: 0.9 },
  { codec: "VP9", coded: 0x1005, width: 1920, height: 1080, loops: 3, bar: 0.95 },
] as const;
type ClipRow = (typeof clips)[number];
const FRAMES = 300;
/** Frames of a short run. */
const FEW = 20;

const IVF_HEADER = 32;
const encoders = {
  "H.264": { words: ["-c:v", "libx264", "-preset", "veryfast", "-bf", "2"], suffix: "h264" },
  VP9: {
    words: ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "2M"],
    suffix: "ivf",
  },
} as const;

interface Film {
  /** For ffmpeg. */
  readonly film: string;
  /** The same without headers of a file format, and where its units end. */
  readonly bitstream: string;
  readonly ends: readonly number[];
}

/** Makes a clip. */
function encode(work: string, { codec, width, height, loops }: ClipRow): Film {
  const { words, suffix } = encoders[codec];
  const once = join(work, `once.${suffix}`);
  const source = `testsrc2=size=${width}x${height}:rate=30`;
  const frames = ["-frames:v", String(FRAMES)];
  run("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source, ...frames, ...words, once);
  const packets = run(
    "ffprobe",
    "-v",
    "error",
    "-show_entries",
    "packet=size",
    "-of",
    "csv=p=0",
    once,
  );
  const data = join(work, "once.bin");
  run("ffmpeg", "-v", "error", "-y", "-i", once, "-map", "0:v", "-c", "copy", "-f", "data", data);
  const film = join(work, `film.${suffix}`);
  const bitstream = join(work, "film.bin");
  const bytes = readFileSync(once);
  const head = suffix === "ivf" ? IVF_HEADER : 0;
  const again = Array.from({ length: loops - 1 }, () => bytes.subarray(head));
  writeFileSync(film, Buffer.concat([bytes, ...again]));
  writeFileSync(bitstream, Buffer.concat(Array.from({ length: loops }, () => readFileSync(data))));
  const sizes = packets
    .trim()
    .split("\n")
    .map((line) => Number.parseInt(line, 10));
  let end = 0;
  const ends = Array.from({ length: loops }, () => sizes).flatMap((list) =>
    list.map((size) => {
      end += size;
      return end;
    }),
  );
  return { film, bitstream, ends };
}

function run(...words: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(words);
  if (exitCode !== 0) throw new Error(`${words.join(" ")}: ${stderr}`);
  return stdout.toString();
}

interface Direct {
  readonly fps: number;
  /** Processor time per picture. */
  readonly cpuMs: number;
}

/** What ffmpeg needs, without its start. */
function directly({ film, ends }: Film, threads: number): Direct {
  const words = ["-nostdin", "-benchmark", "-threads", String(threads), "-i", film];
  const output = ["-fps_mode", "passthrough", "-f", "null", "-"];
  // With the niceness of a decoder's process: other work of the machine slows both down.
  const { stderr } = Bun.spawnSync(["nice", "-n", "5", "ffmpeg", ...words, ...output]);
  const [, user = "", system = "", real = ""] =
    /bench: utime=([\d.]+)s stime=([\d.]+)s rtime=([\d.]+)s/.exec(stderr.toString()) ?? [];
  return {
    fps: ends.length / Number(real),
    cpuMs: ((Number(user) + Number(system)) * 1000) / ends.length,
  };
}

interface Through {
  readonly figures: Figures;
  readonly readyMs: number;
}

/** Runs a front-end of this folder at the executable, as users have it. Its figures, and what the daemon logged. */
async function frontEnd<T>(
  work: string,
  side: string,
  level: "debug" | "info",
  about: Omit<Task, "socket" | "daemon">,
): Promise<{ figures: T; log: string }> {
  const socket = join(work, "video.sock");
  const tool = join(import.meta.dir, "../../dist/vhost-user-video");
  const words = ["-b", "libavcodec", "-s", socket, "--once", "--log-level", level];
  const logFile = join(work, "log");
  const options = { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 120_000 } as const;
  const daemon = Bun.spawn([tool, ...words], { ...options, stderr: Bun.file(logFile) });
  while (!existsSync(socket)) await Bun.sleep(20);
  const task: Task = { ...about, socket, daemon: daemon.pid };
  const taskFile = join(work, "task.json");
  writeFileSync(taskFile, JSON.stringify(task));
  const child = Bun.spawn([process.execPath, join(import.meta.dir, side), taskFile], options);
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`the front-end ended: ${err}`);
  await daemon.exited;
  return { figures: JSON.parse(out), log: readFileSync(logFile, "utf8") };
}

const taskOf = ({ coded, width, height }: ClipRow, { bitstream, ends }: Film) => ({
  clip: bitstream,
  coded,
  ends,
  width,
  height,
  warmUp: FRAMES,
});

/** The same clip through the daemon. */
async function through(work: string, row: ClipRow, film: Film): Promise<Through> {
  const side = "software-decode-side.ts";
  const task = taskOf(row, film);
  const { figures } = await frontEnd<Figures>(work, side, "info", task);
  // The time until a decoder is ready is in the log of level debug, which costs time for each command.
  const few = { ...task, ends: film.ends.slice(0, FEW), warmUp: 1 };
  const { log } = await frontEnd<Figures>(work, side, "debug", few);
  const [, ready] = /is ready after (\d+) ms/.exec(log) ?? [];
  return { figures, readyMs: Number(ready) };
}

/** A command while nothing is decoded, and while four streams of 1080p are. */
async function latencies(work: string, report: Report): Promise<void> {
  const row = clips[1];
  const task = taskOf(row, encode(work, row));
  const side = "command-latency-side.ts";
  const { figures } = await frontEnd<Latencies>(work, side, "info", task);
  const { idle, decoding } = figures;
  const parts = ["p50", "p99"];
  report.table({
    head: "GET_PARAMS",
    columns: [
      { name: "idle", unit: "us", digits: 0, better: "less", parts },
      { name: "four streams of 1080p", unit: "us", digits: 0, better: "less", parts },
      { name: "ratio of p50", unit: "", digits: 2, better: "less", bar: LATENCY_BAR },
    ],
    rows: [
      [
        "kick to answer",
        [idle.p50, idle.p99],
        [decoding.p50, decoding.p99],
        decoding.p50 / idle.p50,
      ],
    ],
  });
}

const columns: readonly Column[] = [
  { name: "ffmpeg, 1 thread", unit: "fps", digits: 0 },
  { name: "ffmpeg, 2 threads", unit: "fps", digits: 0 },
  { name: "ours, 1 thread", unit: "fps", digits: 0, better: "more" },
  { name: "ours / 1 thread", unit: "", digits: 2, better: "more" },
  { name: "CPU, ours / ffmpeg", unit: "", digits: 2, better: "less", bar: CPU_BAR },
  { name: "ready", unit: "ms", digits: 0, better: "less", bar: READY_BAR_MS, slack: 5 },
  { name: "first picture", unit: "ms", digits: 0, better: "less", slack: 5 },
  { name: "decoder's Pss", unit: "MiB", digits: 0, better: "less" },
];

async function measure(work: string, report: Report): Promise<void> {
  const rows: [string, ...Cell[]][] = [];
  for (const row of clips) {
    const film = encode(work, row);
    const rounds: { one: Direct; two: Direct; ours: Through }[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      const one = directly(film, 1);
      const ours = await through(work, row, film);
      rounds.push({ one, ours, two: directly(film, 2) });
      if (ours.figures.frames !== film.ends.length)
        throw new Error(`${ours.figures.frames} pictures of ${film.ends.length}`);
    }
    const mid = (of: (round: (typeof rounds)[number]) => number) => median(rounds.map(of));
    const fps = ({ counted, seconds }: Figures) => counted / seconds;
    const cpu = ({ counted, daemonMs, decoderMs }: Figures) => (daemonMs + decoderMs) / counted;
    rows.push([
      `${row.codec} ${row.width}x${row.height}`,
      mid(({ one }) => one.fps),
      mid(({ two }) => two.fps),
      mid(({ ours }) => fps(ours.figures)),
      { value: mid(({ one, ours }) => fps(ours.figures) / one.fps), bar: row.bar },
      mid(({ one, ours }) => cpu(ours.figures) / one.cpuMs),
      mid(({ ours }) => ours.readyMs),
      mid(({ ours }) => ours.figures.firstPictureMs),
      mid(({ ours }) => ours.figures.pssMib),
    ]);
  }
  report.table({ head: "libavcodec", columns, rows });
}

export const bench: Bench = {
  name: "video",
  title: "decoding with libavcodec through the daemon against ffmpeg on the same clip",
  async run(report) {
    ensureDebian([{ package: "ffmpeg", provides: "ffmpeg" }]);
    const work = mkdtempSync(join(tmpdir(), "framepass-bench-"));
    try {
      await latencies(work, report);
      await measure(work, report);
    } finally {
      rmSync(work, { recursive: true });
    }
  },
};
