// `bun run bench video`, decoding: our back-end against v4l2-ctl on the same decoder, in turn, in one guest.
import type { Job } from "../lab/agent.ts";
import { ensureLabTools } from "../lab/guest.ts";
import { Lab } from "../lab/lab.ts";
import { type Clip, type Played, type Player, Vicodec } from "../lab/vicodec.ts";
import { SETTLED } from "../support/clip-player.ts";
import { type Bench, median, type Report } from "./bench.ts";
import type { Cell, Column } from "./figures.ts";

/** Pictures, and which part of v4l2-ctl's rate we must reach. 1088: the decoder's pictures are whole blocks of 16. */
const sizes = [
  { width: 640, height: 480, frames: 300, bar: 0.95 },
  { width: 1920, height: 1088, frames: 50, bar: 0.95 },
] as const;
const ROUNDS = 5;
/** So long our programs may need until the runtime has compiled their hot code; v4l2-ctl is compiled already. */
const WARM_UP = 6;
const HEAP_ROUNDS = 4;
const YU12 = 4;
const TICK_MS = 10;
/** Heap that code compiled late may take. */
const MAX_HEAP_GROWTH = 256 * 1024;

/** The cost of a clip: seconds in all, and milliseconds of processor time. */
interface Cost {
  readonly seconds: number;
  readonly userMs: number;
  readonly kernelMs: number;
}

const size = {
  width: 0,
  height: 0,
  format: YU12,
  chunk: "buffer",
  pieces: 1,
  mode: "drain",
  /** Picture buffers beyond the decoder's minimum of one: v4l2-ctl has four, too. */
  spare: 3,
} as const;

/** The cost of a clip with v4l2-ctl, including its start. */
async function directly(codec: Vicodec, name: string, clip: Clip): Promise<Cost> {
  const { stderr } = await codec.guest.run(
    `time sh -c '${codec.directly(name, clip)} >/dev/null 2>&1'`,
    { timeoutMs: 60_000 },
  );
  const seconds = (word: string) => {
    const [, minutes, rest] = new RegExp(`${word}\\s+(\\d+)m ?([\\d.]+)s`).exec(stderr) ?? [];
    return Number(minutes) * 60 + Number(rest);
  };
  return {
    seconds: seconds("real"),
    userMs: seconds("user") * 1000,
    kernelMs: seconds("sys") * 1000,
  };
}

/** Plays the clip once through our back-end. */
async function through(player: Player, { width, height, frames }: Clip): Promise<Played> {
  const [played] = await player.play({ ...size, clip: `/tmp/many${width}.fwht`, width, height });
  if (played?.frames !== frames || played.errors > 0)
    throw new Error(`${played?.frames} frames of ${frames}, ${played?.errors} errors`);
  return played;
}

/** Processor time that a program in the guest has used, with its processes: the back-end has one for each front-end. */
async function costOf(codec: Vicodec, job: { readonly id: string }): Promise<Cost> {
  const stats = await codec.guest.ok(
    `pid=$(cat /run/jobs/${job.id}); for p in $pid $(cat /proc/$pid/task/*/children); do cat /proc/$p/stat; done`,
  );
  let [userMs, kernelMs] = [0, 0];
  for (const stat of stats.trim().split("\n")) {
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    userMs += Number(fields[11]) * TICK_MS;
    kernelMs += Number(fields[12]) * TICK_MS;
  }
  return { seconds: 0, userMs, kernelMs };
}

function less(a: Cost, b: Cost): Cost {
  return {
    seconds: a.seconds - b.seconds,
    userMs: a.userMs - b.userMs,
    kernelMs: a.kernelMs - b.kernelMs,
  };
}

interface Round {
  /** Frames a second. */
  readonly direct: number;
  readonly ours: number;
  readonly picturesPerWake: number;
  /** Processor time per picture. */
  readonly v4l2Ctl: Cost;
  readonly backEnd: Cost;
  readonly frontEnd: Cost;
}

async function round(codec: Vicodec, server: Job, player: Player, clip: Clip): Promise<Round> {
  const { frames } = clip;
  const counted = frames - SETTLED;
  const few = await directly(codec, `few${clip.width}`, { ...clip, frames: SETTLED });
  const direct = less(await directly(codec, `many${clip.width}`, clip), few);
  const before = [await costOf(codec, server), await costOf(codec, player.job)] as const;
  const waits = await waitsOf(codec, server);
  const { settled } = await through(player, clip);
  const picturesPerWake = frames / ((await waitsOf(codec, server)) - waits);
  const each = ({ seconds, userMs, kernelMs }: Cost, of: number) => ({
    seconds,
    userMs: userMs / of,
    kernelMs: kernelMs / of,
  });
  return {
    direct: counted / direct.seconds,
    ours: counted / settled,
    picturesPerWake,
    v4l2Ctl: each(direct, counted),
    backEnd: each(less(await costOf(codec, server), before[0]), frames),
    frontEnd: each(less(await costOf(codec, player.job), before[1]), frames),
  };
}

/** Growth of the heap over HEAP_ROUNDS clips, back-end and front-end in one process; bytes. */
async function heapGrowth(codec: Vicodec, clip: Clip): Promise<number> {
  const player = codec.player("own process");
  for (let i = 0; i < WARM_UP; i++) await through(player, clip);
  const { heap: before } = await through(player, clip);
  let after = before;
  for (let i = 0; i < HEAP_ROUNDS; i++) after = (await through(player, clip)).heap;
  await player.end();
  return after - before;
}

const parts = ["user", "kernel"];
const columns: readonly Column[] = [
  { name: "v4l2-ctl", unit: "fps", digits: 1 },
  { name: "ours", unit: "fps", digits: 1, better: "more" },
  { name: "ours / v4l2-ctl", unit: "", digits: 2, better: "more" },
  { name: "CPU, v4l2-ctl", unit: "ms a picture", digits: 1, parts },
  { name: "CPU, our back-end", unit: "ms a picture", digits: 1, parts, better: "less" },
  { name: "CPU, front-end of the bench", unit: "ms a picture", digits: 1, parts },
];
const totals: readonly Column[] = [
  { name: "copied pictures", unit: "", digits: 0, better: "less", bar: 0 },
  { name: "copied buffers of bitstream", unit: "", digits: 0, better: "less" },
  {
    name: "JS heap growth, back-end and front-end",
    unit: "bytes",
    digits: 0,
    better: "less",
    bar: MAX_HEAP_GROWTH,
    slack: MAX_HEAP_GROWTH,
  },
];

/** How often the back-end's processes have waited, which is how often they were woken. */
async function waitsOf(codec: Vicodec, job: { readonly id: string }): Promise<number> {
  const lines = await codec.guest.ok(
    `pid=$(cat /run/jobs/${job.id}); for p in $pid $(cat /proc/$pid/task/*/children); do grep ^voluntary /proc/$p/status; done`,
  );
  return [...lines.matchAll(/(\d+)/g)].reduce((sum, [count]) => sum + Number(count), 0);
}

/** Plays each clip once, with the log that counts copies; the lines that count them. */
async function copies(codec: Vicodec): Promise<string> {
  const server = await codec.serve("--log-level debug");
  const player = codec.player();
  for (const { width, height, frames } of sizes) await through(player, { width, height, frames });
  await player.end();
  server.kill("TERM");
  return (await server.result).stderr;
}

/** Another processor decodes while the first one runs the daemon, where the emulator gives it a processor of the host. */
async function measure(lab: Lab, report: Report, cpus: number): Promise<void> {
  await using codec = await Vicodec.boot(lab, `bench-${cpus}`, false, cpus);
  // Not with --log-level debug: that writes a line for each request to a file of the host, over 1 ms a picture.
  const server = await codec.serve();
  const player = codec.player();
  const wakes: string[] = [];
  const rows: [string, ...Cell[]][] = [];
  for (const { width, height, frames, bar } of sizes) {
    const clip = { width, height, frames };
    await codec.encode(`many${width}`, clip);
    await codec.encode(`few${width}`, { ...clip, frames: SETTLED });
    for (let i = 0; i < WARM_UP; i++) await through(player, clip);
    const rounds: Round[] = [];
    for (let i = 0; i < ROUNDS; i++) rounds.push(await round(codec, server, player, clip));
    const mid = (of: (round: Round) => number) => median(rounds.map(of));
    const cost = (who: "v4l2Ctl" | "backEnd" | "frontEnd") => [
      mid((r) => r[who].userMs),
      mid((r) => r[who].kernelMs),
    ];
    const perWake = mid((r) => r.picturesPerWake).toFixed(2);
    wakes.push(`${width}x${height}: ${perWake} pictures per wake-up of the back-end`);
    rows.push([
      `${width}x${height}`,
      mid(({ direct }) => direct),
      mid(({ ours }) => ours),
      { value: mid(({ direct, ours }) => ours / direct), bar },
      cost("v4l2Ctl"),
      cost("backEnd"),
      cost("frontEnd"),
    ]);
  }
  const heap = await heapGrowth(codec, { ...sizes[0] });
  await player.end();
  server.kill("TERM");
  const { stderr: summary } = await server.result;
  const stderr = await copies(codec);
  report.table({ head: `FWHT, emulated processors: ${cpus}`, columns, rows });
  for (const line of wakes) report.line(line);
  const [, requests, interrupts] = /(\d+) requests?, .* (\d+) interrupts?/.exec(summary) ?? [];
  report.line(`${requests} requests with ${interrupts} interrupts in all`);
  const counts = [...stderr.matchAll(/(\d+) pictures, (\d+) copied; (\d+) .*, (\d+) copied/g)];
  const sum = (of: number) => counts.reduce((all, count) => all + Number(count[of]), 0);
  report.line(`${sum(1)} pictures, ${sum(3)} buffers of bitstream`);
  const name = `${HEAP_ROUNDS * sizes[0].frames} pictures for the heap`;
  report.table({ head: `FWHT, ${cpus}`, columns: totals, rows: [[name, sum(2), sum(4), heap]] });
}

export const bench: Bench = {
  name: "video",
  title: "decoding through the back-end against v4l2-ctl on the same decoder, in a guest",
  async run(report) {
    ensureLabTools(); // modules are built before a guest boots
    await using lab = new Lab("bench");
    for (const cpus of [1, 2]) await measure(lab, report, cpus);
  },
};
