// `bun run bench peers`: our tools against what users would take instead, GStreamer and ffmpeg: whole processes with their start,
// the same bytes, in turn; and beside them the physical limit, memcpy of the same bytes.
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ensureDebian } from "../../scripts/ensure.ts";
import { type Bench, compileC, median, type Report } from "./bench.ts";
import type { Cell, Column } from "./figures.ts";
import {
  FRAMES_FILE,
  frameBytes,
  gstVersion,
  hasUnixfd,
  ours,
  peers,
  type Way,
  type Wish,
} from "./peer-programs.ts";
import { cpuOf, type Run, runMemcpy, runWay, type Used } from "./peer-run.ts";

const ROUNDS = 5;

/** Frames of each run: one to two seconds of the program. */
const sizes = [
  {
    width: 640,
    height: 480,
    frames: { copy: 8000, fd: 150_000, tcp: 3000, local: 20_000, limit: 30_000 },
  },
  {
    width: 1920,
    height: 1080,
    frames: { copy: 1500, fd: 80_000, tcp: 400, local: 3000, limit: 3000 },
  },
] as const;
type Size = (typeof sizes)[number];

/** Least rate and most processor time of ours as a part of the better peer's. */
const bars = {
  copy: { rate: 2.5, cpu: 0.45 },
  fd: { rate: 2, cpu: undefined },
} as const;
type Flow = keyof typeof bars;

interface Runs {
  readonly name: string;
  readonly frames: number;
  readonly bytes: number;
  readonly runs: Run[];
}

const parts = ["user", "system"];
const columns: readonly Column[] = [
  { name: "rate", unit: "MB/s", digits: 0, better: "more" },
  { name: "frames", unit: "1/s", digits: 0, better: "more" },
  { name: "CPU, sender", unit: "ms/GB", digits: 1, better: "less", parts, slack: 1 },
  { name: "CPU, receiver", unit: "ms/GB", digits: 1, better: "less", parts, slack: 1 },
  { name: "rate / better peer", unit: "", digits: 2, better: "more" },
  { name: "CPU / better peer", unit: "", digits: 3, better: "less" },
];

/** MB a second. */
const rates = ({ runs, frames, bytes }: Runs) =>
  runs.map(({ seconds }) => (frames * bytes) / seconds / 1e6);
/** Milliseconds a GB, both processes. */
const costs = ({ runs, frames, bytes }: Runs) =>
  runs.map((run) => (cpuOf(run) * 1e12) / (frames * bytes));

function cells(all: Runs): Cell[] {
  const { runs, frames, bytes } = all;
  const cpu = (side: "send" | "receive") =>
    (["user", "system"] as const).map((part: keyof Used) =>
      median(runs.map((run) => (run[side][part] * 1e12) / (frames * bytes))),
    );
  const perSecond = median(runs.map(({ seconds }) => frames / seconds));
  return [median(rates(all)), perSecond, cpu("send"), cpu("receive")];
}

const bare = (value: number, bar: number | undefined): Cell =>
  bar === undefined ? value : { value, bar };

/** Ours against the best peer of each round: the fastest, and the one that needs the least processor time. */
function againstPeers(mine: Runs, theirs: readonly Runs[], flow: Flow): Cell[] {
  const ratio = (of: (runs: Runs) => number[], best: (...values: number[]) => number) =>
    median(
      of(mine).map((value, i) => value / best(...theirs.map((runs) => of(runs)[i] ?? Number.NaN))),
    );
  return [
    bare(ratio(rates, Math.max), bars[flow].rate),
    bare(ratio(costs, Math.min), bars[flow].cpu),
  ];
}

/** One flow at one size: ours, the peers and the limit in turn. */
async function measure(
  flow: Flow,
  { width, height, frames }: Size,
  compared: readonly Way[],
  place: { readonly work: string; readonly memcpy: string },
  report: Report,
): Promise<void> {
  const bytes = frameBytes({ width, height });
  const wish = (count: number): Wish => ({ width, height, frames: count, work: place.work });
  const runsOf = (name: string, count: number): Runs => ({ name, frames: count, bytes, runs: [] });
  const mine = runsOf(ours[flow].name, frames[flow]);
  const peerFrames = flow === "copy" ? frames.tcp : frames.local;
  const theirs = compared.map((way) => ({ way, ...runsOf(way.name, peerFrames) }));
  const limits = ([1, 2] as const).map((passes) => ({
    passes,
    ...runsOf(`memcpy, ${passes === 1 ? "one pass" : "two passes"}`, frames.limit),
  }));
  for (let round = 0; round < ROUNDS; round++) {
    mine.runs.push(await runWay(ours[flow], wish(mine.frames)));
    for (const { way, runs } of theirs) runs.push(await runWay(way, wish(peerFrames)));
    for (const { passes, runs } of limits)
      runs.push(await runMemcpy(place.memcpy, wish(frames.limit), passes));
  }
  const baselines = [...theirs, ...limits];
  report.table({
    head: `YUYV ${width}x${height}, ${flow}`,
    columns,
    rows: [
      [mine.name, ...cells(mine), ...againstPeers(mine, theirs, flow)],
      ...baselines.map((runs) => [runs.name, ...cells(runs)] as [string, ...Cell[]]),
    ],
    baselines: baselines.map(({ name }) => name),
  });
  const each = (runs: Runs) =>
    rates(runs)
      .map((rate) => rate.toFixed(0))
      .join(", ");
  report.line(
    `MB/s of each round: ${[mine, ...theirs].map((runs) => `${runs.name}: ${each(runs)}`).join("; ")}`,
  );
}

async function run(report: Report): Promise<void> {
  ensureDebian([
    { package: "ffmpeg", provides: "ffmpeg" },
    { package: "gstreamer1.0-tools", provides: "gst-launch-1.0" },
    ...["base", "bad"].map((kind) => ({
      package: `gstreamer1.0-plugins-${kind}`,
      provides: pluginFile(kind),
    })),
  ]);
  const work = mkdtempSync("/dev/shm/framepass-bench-");
  const memcpy = join(work, "memcpy");
  const version = gstVersion();
  const newer = hasUnixfd();
  report.line(
    newer
      ? `GStreamer ${version}`
      : `GStreamer ${version} has no unixfdsink (it came with 1.24): not compared`,
  );
  const local = [...peers.shm, ...(newer ? peers.unixfd : [])];
  try {
    compileC("memcpy.c", memcpy);
    for (const size of sizes) {
      const frames = new Uint8Array(4 * frameBytes(size)).fill(0x80);
      await Bun.write(join(work, FRAMES_FILE), frames);
      await measure("copy", size, peers.tcp, { work, memcpy }, report);
      await measure("fd", size, local, { work, memcpy }, report);
    }
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** A plugin that the package has: of tcp and videotestsrc, of shm. */
const pluginFile = (kind: string) => {
  const folder = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  return `/usr/lib/${folder}/gstreamer-1.0/libgst${kind === "base" ? "tcp" : "shm"}.so`;
};

export const bench: Bench = {
  name: "peers",
  title:
    "sender and receiver against GStreamer and ffmpeg, whole processes, and memcpy of the same bytes",
  run,
};
