// `bun run bench media`: the camera daemon with a sender_zc's stream of 1920x1080 YUYV at 30 fps against a C program that gets the same
// pictures from the same sender over the same socket, copies each once, and has the same wake-ups and signals (media-copy.c).
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bench, compileC, median, type Report } from "./bench.ts";
import type { GuestFigures } from "./media-guest-side.ts";
import type { HeapFigures } from "./media-heap-side.ts";
import { started } from "./pair.ts";
import type { ZcSide } from "./zc-side.ts";

const size = { width: 1920, height: 1080 } as const;
const ROUNDS = 3;
const FRAMES = 450;
/** After a new sender: its buffers are mapped, and their first pages are read. */
const SETTLE = 60;
/** Pictures at 60 fps before that, while the runtime compiles its code. */
const WARM = 1200;
const HEAP_FRAMES = 3000;
const ENDLESS = 1e9;

const options = { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 180_000 } as const;
type Program = Bun.Subprocess<"ignore", "pipe", "pipe">;
const side = (file: string, ...words: (string | number)[]) => [
  process.execPath,
  join(import.meta.dir, file),
  ...words.map(String),
];

async function report<T>(program: Program): Promise<T> {
  const text = await new Response(program.stdout).text();
  if ((await program.exited) === 0) return JSON.parse(text);
  throw new Error(`a side ended with ${program.exitCode}`);
}

/** A sender_zc whose source costs nothing. */
function sender(socket: string, fps: number, frames: number): Program {
  const words: ZcSide = {
    ...{ side: "send", share: "fd", address: `unix:${socket}`, region: "", ...size },
    ...{ frames, fps, buffers: 8, inFlight: 7 },
  };
  return Bun.spawn(side("zc-side.ts", JSON.stringify(words)), options);
}

/** Sends until `reports` is settled. */
async function sending<T>(socket: string, fps: number, reports: Promise<T>): Promise<T> {
  const program = sender(socket, fps, ENDLESS);
  try {
    return await reports;
  } finally {
    program.kill();
    await program.exited;
  }
}

interface Wish {
  readonly back: readonly string[];
  readonly work: string;
  readonly warm: number;
  readonly frames: number;
  /** Rate of the counted pictures. */
  readonly fps: number;
}

/** Runs a back-end and its guest until the guest has so many pictures. The back-end's own report is read where it has one. */
async function throughRings<T>(
  { back, work, warm, frames, fps }: Wish,
  own: (program: Program) => Promise<T>,
): Promise<{ guest: GuestFigures; own: T }> {
  const [socket, stream] = [join(work, "camera"), join(work, "stream")];
  const daemon = Bun.spawn([...back], options);
  try {
    await started(daemon);
    const words = [socket, daemon.pid, size.width, size.height, warm + SETTLE, frames];
    const program = Bun.spawn(side("media-guest-side.ts", ...words), options);
    await started(program);
    if (warm > 0) await report(sender(stream, 60, warm));
    const guest = await sending(stream, fps, report<GuestFigures>(program));
    return { guest, own: await own(daemon) };
  } finally {
    daemon.kill();
    await daemon.exited;
  }
}

interface Copied {
  readonly frames: number;
  readonly cpuSeconds: number;
}

async function ofCopy(program: string, work: string): Promise<Copied> {
  const stream = join(work, "copy");
  rmSync(stream, { force: true });
  const child = Bun.spawn([program, stream, `${SETTLE}`, `${FRAMES}`], options);
  try {
    await started(child);
    return await sending(stream, 30, report<Copied>(child));
  } finally {
    child.kill();
    await child.exited;
  }
}

async function ofOurs(work: string): Promise<GuestFigures> {
  const back = [
    join(import.meta.dir, "../../dist/vhost-user-media"),
    ...["-s", join(work, "camera"), "--once"],
    ...["-l", `unix:${join(work, "stream")}`, "--zero-copy"],
  ];
  const wish = { back, work, warm: WARM, frames: FRAMES, fps: 30 };
  const { guest } = await throughRings(wish, async (daemon) => await daemon.exited);
  return guest;
}

const usEach = ({ cpuSeconds, frames }: Copied) => (cpuSeconds * 1e6) / frames;

async function measure(program: string, work: string, report: Report): Promise<void> {
  const rounds: { copy: number; ours: number; guest: GuestFigures }[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const copy = usEach(await ofCopy(program, work));
    const guest = await ofOurs(work);
    rounds.push({ copy, ours: usEach(guest), guest });
  }
  const mid = (of: (round: (typeof rounds)[number]) => number) => median(rounds.map(of));
  report.table({
    head: "YUYV",
    columns: [
      { name: "C program, CPU", unit: "us a picture", digits: 0 },
      { name: "ours, CPU", unit: "us a picture", digits: 0, better: "less" },
      { name: "ours / C", unit: "", digits: 2, better: "less", bar: 1.2 },
      { name: "time stamp to event, p50", unit: "ms", digits: 2, better: "less", bar: 2 },
      { name: "time stamp to event, p95", unit: "ms", digits: 2, better: "less" },
      { name: "pictures left out", unit: "", digits: 0, better: "less" },
    ],
    rows: [
      [
        "1920x1080, 30 fps",
        mid(({ copy }) => copy),
        mid(({ ours }) => ours),
        mid(({ ours, copy }) => ours / copy),
        mid(({ guest }) => guest.latencyMs),
        mid(({ guest }) => guest.latencyP95Ms),
        mid(({ guest }) => guest.lost),
      ],
    ],
  });
  const each = rounds.map(({ ours, copy }) => `${ours.toFixed(0)}/${copy.toFixed(0)}`).join(" ");
  report.line(`CPU us a picture, ours/C, each round: ${each}`);
  const grown = await heap(work);
  const growth = grown.heapGrowth / grown.frames;
  report.line(`JS heap growth over ${grown.frames} pictures: ${grown.heapGrowth} bytes`);
  report.table({
    head: "YUYV",
    columns: [
      {
        name: "JS heap growth",
        unit: "bytes a picture",
        digits: 2,
        better: "less",
        bar: 1,
        slack: 1,
      },
    ],
    rows: [["1920x1080, 60 fps", growth]],
  });
}

async function heap(work: string): Promise<HeapFigures> {
  const [socket, stream] = [join(work, "camera"), join(work, "stream")];
  rmSync(socket, { force: true });
  const back = side("media-heap-side.ts", socket, stream, WARM, HEAP_FRAMES);
  const frames = WARM + HEAP_FRAMES;
  const wish = { back, work, warm: 0, frames, fps: 60 };
  const { own } = await throughRings(wish, report<HeapFigures>);
  return own;
}

async function run(report: Report): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), "framepass-bench-"));
  const program = join(work, "media-copy");
  try {
    compileC("media-copy.c", program);
    await measure(program, work, report);
  } finally {
    rmSync(work, { recursive: true });
  }
}

export const bench: Bench = {
  name: "media",
  title:
    "a guest's camera with a sender's stream against a C program that copies the same pictures",
  run,
};
