// `bun run bench peers-lab`: sender against v4l2-ctl with the same camera (vivid) in a guest: processor time for a frame that is
// captured and sent over loopback TCP. The rate is the camera's. v4l2-ctl --stream-to-host has no mode that leaves frames as they are:
// the camera shows noise, which its lossless compression does not make smaller. Beside it v4l2-ctl and nc with a pipe, which send the same bytes.
import type { Guest } from "../lab/guest.ts";
import { ensureLabTools } from "../lab/guest.ts";
import { Lab } from "../lab/lab.ts";
import { type Bench, median, type Report } from "./bench.ts";
import type { Cell } from "./figures.ts";

const ROUNDS = 3;
const SIZE = { width: 640, height: 480 };
const FPS = 30;
const FRAMES = 300;
/** A run of so many frames says what the start costs. */
const FEW = 30;
const LIMIT_MS = 60_000;
const NOISE = 21; // "Noise" of vivid's menu of test patterns
const CAMERA = "/dev/video0";

/** nc ends when either of its sides ends, so its standard input must not. */
const SINK = "nc -l -p 5000 <>/tmp/open >/dev/null";

/** The sender's command for so many frames, and that of what receives its bytes on port 5000. */
const ways = {
  sender: {
    send: (frames: number) =>
      `framepass sender -d ${CAMERA} -W ${SIZE.width} -H ${SIZE.height} -f YUYV -r ${FPS} -a 127.0.0.1 -p 5000 -n ${frames} --stats 0`,
    receive: "framepass receiver -l 127.0.0.1 -p 5000 --stats 0",
  },
  "v4l2-ctl --stream-to-host --stream-lossless": {
    send: (frames: number) =>
      `v4l2-ctl -d ${CAMERA} --stream-mmap --stream-count=${frames} --stream-lossless --stream-to-host=127.0.0.1:5000`,
    receive: SINK,
  },
  "v4l2-ctl --stream-to=- and nc": {
    send: (frames: number) =>
      `v4l2-ctl -d ${CAMERA} --stream-mmap --stream-count=${frames} --stream-to=- | nc 127.0.0.1 5000`,
    receive: SINK,
  },
} as const;
type Name = keyof typeof ways;
const names = Object.keys(ways) as Name[];

/** Milliseconds of processor time. */
interface Cost {
  readonly user: number;
  readonly system: number;
}

/** What the sending processes use, with their start. */
async function costOf(guest: Guest, name: Name, frames: number): Promise<Cost> {
  const { send, receive } = ways[name];
  const { stderr } = await guest.run(
    `${receive} 2>/tmp/receive.log &
     until grep -q ':1388 .* 0A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done
     time sh -c '${send(frames)} >/dev/null 2>/tmp/send.log' || cat /tmp/send.log >&2
     wait`,
    { timeoutMs: LIMIT_MS },
  );
  const ms = (word: string) => {
    const [, minutes, seconds] = new RegExp(`${word}\\s+(\\d+)m ?([\\d.]+)s`).exec(stderr) ?? [];
    return (Number(minutes) * 60 + Number(seconds)) * 1000;
  };
  const cost = { user: ms("user"), system: ms("sys") };
  if (Number.isNaN(cost.user + cost.system)) throw new Error(`${name}: ${stderr.trim()}`);
  return cost;
}

/** Milliseconds for a frame. */
async function each(guest: Guest, name: Name): Promise<Cost> {
  const few = await costOf(guest, name, FEW);
  const many = await costOf(guest, name, FRAMES);
  const frames = FRAMES - FEW;
  return { user: (many.user - few.user) / frames, system: (many.system - few.system) / frames };
}

const total = ({ user, system }: Cost) => user + system;

async function measure(lab: Lab, report: Report): Promise<void> {
  const guest = await lab.boot({
    modules: ["vivid n_devs=1 node_types=0x1"],
    copyExecutable: true,
  });
  const { width, height } = SIZE;
  await guest.ok(
    `mkfifo /tmp/open
     v4l2-ctl -d ${CAMERA} --set-fmt-video=width=${width},height=${height},pixelformat=YUYV --set-parm=${FPS} --set-ctrl=test_pattern=${NOISE},osd_text_mode=2`,
  );
  const costs = new Map(names.map((name) => [name, [] as Cost[]]));
  for (let round = 0; round < ROUNDS; round++)
    for (const name of names) costs.get(name)?.push(await each(guest, name));
  const of = (name: Name) => costs.get(name) ?? [];
  const mid = (name: Name, part: keyof Cost) => median(of(name).map((cost) => cost[part]));
  const ratio = (name: Name) =>
    median(
      of("sender").map((cost, i) => total(cost) / total(of(name)[i] ?? { user: 0, system: 0 })),
    );
  report.table({
    head: `vivid YUYV ${width}x${height} at ${FPS} fps, one guest, one CPU,`,
    columns: [
      { name: "CPU", unit: "ms a frame", digits: 2, better: "less", parts: ["user", "system"] },
      { name: "CPU, sender / it", unit: "", digits: 2, better: "less" },
    ],
    rows: names.map((name): [string, ...Cell[]] => [
      name,
      [mid(name, "user"), mid(name, "system")],
      name === "sender" ? undefined : ratio(name),
    ]),
    baselines: names.filter((name) => name !== "sender"),
  });
}

export const bench: Bench = {
  name: "peers-lab",
  title: "sender against v4l2-ctl --stream-to-host with the same camera, in a guest",
  async run(report) {
    ensureLabTools(); // modules are built before a guest boots
    await using lab = new Lab("bench");
    await measure(lab, report);
  },
};
