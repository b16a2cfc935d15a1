// `bun run bench video`, decoding: through our back-end against v4l2-ctl on the same decoder, alternating, in one guest.
import { Lab } from "../lab/lab.ts";
import { type Clip, type Played, type Player, Vicodec } from "../lab/vicodec.ts";
import { SETTLED } from "../support/clip-player.ts";
import { type Bench, median, table } from "./bench.ts";

/** Pictures, and how much of v4l2-ctl's rate must be left. 1088: the decoder's pictures are whole blocks of 16. */
const sizes = [
  { width: 640, height: 480, frames: 300, bar: 0.9 },
  { width: 1920, height: 1088, frames: 50, bar: 0.95 },
] as const;
const ROUNDS = 5;
/** Compiling what is run often takes both programs that long; v4l2-ctl comes compiled. */
const WARM_UP = 3;
const HEAP_ROUNDS = 4;
const YU12 = 4;
const TICK_MS = 10;

interface Side {
  readonly fps: number;
  /** Processor time per picture, ms: user mode and kernel, which has the decoder's. */
  readonly cpu: readonly number[];
}
interface Round {
  readonly direct: number;
  readonly ours: number;
}

const size = { width: 0, height: 0, format: YU12, chunk: "buffer", pieces: 1, mode: "drain" } as const;

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

/** Plays the clip once through our back-end. */
async function through(player: Player, { width, height, frames }: Clip): Promise<Played> {
  const [played] = await player.play({ ...size, clip: "/tmp/many.fwht", width, height });
  if (played?.frames !== frames || played.errors > 0)
    throw new Error(`${played?.frames} frames of ${frames}, ${played?.errors} errors`);
  return played;
}

/** Milliseconds a job and its threads have run: in user mode, in the kernel. */
async function ranMs(codec: Vicodec, job: { readonly id: string }): Promise<number[]> {
  const stat = await codec.guest.ok(`cat /proc/$(cat /run/jobs/${job.id})/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return [11, 12].map((i) => Number(fields[i]) * TICK_MS);
}
