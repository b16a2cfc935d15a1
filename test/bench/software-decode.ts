// `bun run bench video`, libavcodec: a clip through the daemon against ffmpeg, which decodes the same clip and drops the pictures.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureDebian } from "../../scripts/ensure.ts";
import { type Bench, median, table } from "./bench.ts";
import type { Figures, Task } from "./software-decode-side.ts";

const ROUNDS = 5;
/** Most processor time, both processes together, as a part of ffmpeg's. */
const CPU_BAR = 1.1;
const READY_BAR_MS = 100;

/** Clips: 300 pictures, `loops` times; the part of ffmpeg's rate that we must reach. */
const clips = [
  { codec: "H.264", coded: 0x1002, width: 640, height: 480, loops: 8, bar: 0.9 },
  { codec: "H.264", coded: 0x1002, width: 1920, height: 1080, loops: 3, bar: 0.95 },
  { codec: "VP9", coded: 0x1005, width: 640, height: 480, loops: 8, bar: 0.9 },
  { codec: "VP9", coded: 0x1005, width: 1920, height: 1080, loops: 3, bar: 0.95 },
] as const;
type ClipRow = (typeof clips)[number];
const FRAMES = 300;

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

/** The same through the executable, as users have it, and one front-end. */
async function through(
  work: string,
  { coded, width, height }: ClipRow,
  film: Film,
): Promise<Through> {
  const socket = join(work, "video.sock");
  const tool = join(import.meta.dir, "../../dist/vhost-user-video");
  const words = ["-b", "libavcodec", "-s", socket, "--once", "--log-level", "debug"];
  const logFile = join(work, "log");
  const options = { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 120_000 } as const;
  const daemon = Bun.spawn([tool, ...words], { ...options, stderr: Bun.file(logFile) });
  while (!existsSync(socket)) await Bun.sleep(20);
  const { bitstream: clip, ends } = film;
  const size = { width, height };
  const task: Task = { socket, daemon: daemon.pid, clip, coded, ends, ...size, warmUp: FRAMES };
  const taskFile = join(work, "task.json");
  writeFileSync(taskFile, JSON.stringify(task));
  const side = Bun.spawn(
    [process.execPath, join(import.meta.dir, "software-decode-side.ts"), taskFile],
    options,
  );
  const [out, err] = await Promise.all([
    new Response(side.stdout).text(),
    new Response(side.stderr).text(),
  ]);
  if ((await side.exited) !== 0) throw new Error(`the front-end ended: ${err}`);
  await daemon.exited;
  const log = readFileSync(logFile, "utf8");
  const [, ready] = /is ready after (\d+) ms/.exec(log) ?? [];
  return { figures: JSON.parse(out), readyMs: Number(ready) };
}

async function measure(work: string): Promise<boolean> {
  const rows: string[][] = [];
  let met = true;
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
    const ratio = mid(({ one, ours }) => fps(ours.figures) / one.fps);
    const cost = mid(({ one, ours }) => cpu(ours.figures) / one.cpuMs);
    const ready = mid(({ ours }) => ours.readyMs);
    met &&= ratio >= row.bar && cost <= CPU_BAR && ready <= READY_BAR_MS;
    rows.push([
      `${row.codec} ${row.width}x${row.height}`,
      mid(({ one }) => one.fps).toFixed(0),
      mid(({ two }) => two.fps).toFixed(0),
      mid(({ ours }) => fps(ours.figures)).toFixed(0),
      `${ratio.toFixed(2)} (${row.bar.toFixed(2)})`,
      `${cost.toFixed(2)} (${CPU_BAR.toFixed(2)})`,
      `${ready.toFixed(0)} (${READY_BAR_MS})`,
      mid(({ ours }) => ours.figures.firstPictureMs).toFixed(0),
      mid(({ ours }) => ours.figures.pssMib).toFixed(0),
    ]);
  }
  table(
    [
      "libavcodec",
      "ffmpeg fps, 1 thread",
      "2 threads",
      "ours fps, 1 thread",
      "ratio to 1 thread (bar)",
      "CPU, ratio (bar)",
      "ready ms (bar)",
      "first picture ms",
      "decoder's Pss MiB",
    ],
    rows,
  );
  return met;
}

export const bench: Bench = {
  name: "video",
  title: "decoding with libavcodec through the daemon against ffmpeg on the same clip",
  async run() {
    ensureDebian([{ package: "ffmpeg", provides: "ffmpeg" }]);
    const work = mkdtempSync(join(tmpdir(), "framepass-bench-"));
    try {
      return await measure(work);
    } finally {
      rmSync(work, { recursive: true });
    }
  },
};
