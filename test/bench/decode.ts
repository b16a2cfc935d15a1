// `bun run bench video`, decoding: through our back-end against v4l2-ctl on the same decoder, alternating, in one guest.
import { Lab } from "../lab/lab.ts";
import { type Clip, type Player, Vicodec } from "../lab/vicodec.ts";
import { SETTLED } from "../support/clip-player.ts";
import { type Bench, median, table } from "./bench.ts";

/** What the kernel's codec can do, and how much of v4l2-ctl's rate must be left. */
const sizes = [
  { width: 640, height: 480, frames: 200, bar: 0.9 },
  { width: 1920, height: 1088, frames: 40, bar: 0.95 },
] as const;
const ROUNDS = 5;
const YU12 = 4;
/** Compiling what is run often takes the front-end that long. */
const WARM_UP = 2;

interface Round {
  readonly direct: number;
  readonly ours: number;
}

/** Seconds v4l2-ctl takes for a clip, its start included. */
async function directly(codec: Vicodec, name: string, clip: Clip): Promise<number> {
  const said = await codec.guest.ok(
    `from=$(cut -d' ' -f1 /proc/uptime); ${codec.directly(name, clip)} >/dev/null 2>&1
     to=$(cut -d' ' -f1 /proc/uptime); echo "$from $to"`,
    { timeoutMs: 60_000 },
  );
  const [from = 0, to = 0] = said.trim().split(" ").map(Number);
  return to - from;
}

/** Seconds from the first bitstream to the last picture through our back-end. */
async function through(player: Player, { width, height, frames }: Clip): Promise<number> {
  const usual = { format: YU12, chunk: "buffer", pieces: 1, mode: "drain" } as const;
  const [played] = await player.play({ ...usual, clip: "/tmp/many.fwht", width, height });
  if (played?.frames !== frames || played.errors > 0)
    throw new Error(`${played?.frames} frames of ${frames}, ${played?.errors} errors`);
  return played.settled;
}

/** Clock ticks a process and its threads have run for: in user mode, in the kernel. */
async function ticks(codec: Vicodec, job: { readonly id: string }): Promise<[number, number]> {
  const stat = await codec.guest.ok(`cat /proc/$(cat /run/jobs/${job.id})/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return [Number(fields[11]), Number(fields[12])];
}

async function measure(lab: Lab): Promise<boolean> {
  const codec = await Vicodec.boot(lab, "bench", false, 1);
  const server = await codec.serve("--log-level debug");
  const rows: string[][] = [];
  let met = true;
  for (const { width, height, frames, bar } of sizes) {
    const clips = { many: { width, height, frames }, few: { width, height, frames: SETTLED } };
    for (const [name, clip] of Object.entries(clips)) await codec.encode(name, clip);
    const player = codec.player();
    for (let i = 0; i < WARM_UP; i++) await through(player, clips.many);
    const before = [await ticks(codec, server), await ticks(codec, player.job)];
    const rounds: Round[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      const few = await directly(codec, "few", clips.few);
      const many = await directly(codec, "many", clips.many);
      const direct = (frames - SETTLED) / (many - few);
      rounds.push({ direct, ours: (frames - SETTLED) / (await through(player, clips.many)) });
    }
    const after = [await ticks(codec, server), await ticks(codec, player.job)];
    const n = (ROUNDS * frames) / 10;
    console.log(
      "server",
      after[0]?.map((v, i) => ((v - (before[0]?.[i] ?? 0)) / n).toFixed(2)).join("+"),
      "player",
      after[1]?.map((v, i) => ((v - (before[1]?.[i] ?? 0)) / n).toFixed(2)).join("+"),
    );
    await player.end();
    const mid = (of: (round: Round) => number) => median(rounds.map(of));
    const ratio = mid(({ direct, ours }) => ours / direct);
    met &&= ratio >= bar;
    rows.push([
      `${width}x${height}`,
      mid(({ direct }) => direct).toFixed(1),
      mid(({ ours }) => ours).toFixed(1),
      ratio.toFixed(2),
      bar.toFixed(2),
    ]);
    console.log(
      rounds.map(({ direct, ours }) => `${direct.toFixed(1)}/${ours.toFixed(1)}`).join(" "),
    );
  }
  table(["FWHT", "v4l2-ctl fps", "ours fps", "ratio", "bar"], rows);
  return met;
}

export const bench: Bench = {
  name: "video",
  title: "decoding through the back-end against v4l2-ctl on the same decoder, in a guest",
  async run() {
    await using lab = new Lab("bench");
    return await measure(lab);
  },
};
