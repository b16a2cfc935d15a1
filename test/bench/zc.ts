// `bun run bench zc`: lending frames against sending them (the copy flow) and against lending one at a time, as a
// lock-step sender does; on this host and over a delayed connection. The receivers read no byte of a picture.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fd } from "../../ffi/fd.ts";
import { type Bench, compileC, freePort, median, type Report } from "./bench.ts";
import type { Cell } from "./figures.ts";
import type { Side } from "./meter.ts";
import { type Pair, runPair, started } from "./pair.ts";
import type { ZcSide } from "./zc-side.ts";

const sizes = [
  { width: 640, height: 480, copies: 3000 },
  { width: 1920, height: 1080, copies: 500 },
  { width: 3840, height: 2160, copies: 120 },
] as const;
const [small] = sizes;
const LENT = 40_000;
const BUFFERS = 8;
const ROUNDS = 3;
const DELAY_ROUNDS = 3;
/** Round trips between the two programs, milliseconds. */
const delaysMs = [0, 1, 5, 20] as const;
/** At this round trip the buffers must give so many times the rate of one frame at a time. */
const BAR_AT_MS = 5;
const GAIN_BAR = 5;
const HEAP_FRAMES = 300_000;
/** Long enough for the runtime to compile all code, because a camera runs for hours. */
const RATE = { fps: 60, frames: 2400, percent: 1.5 };

interface Wish {
  readonly width: number;
  readonly height: number;
  readonly frames: number;
  readonly inFlight?: number;
  readonly fps?: number;
}

/** The programs and places of a run. */
interface Place {
  readonly work: string;
  readonly relay: string;
  readonly region: string;
}

const sides = ["sender", "receiver"];

const zcSide = join(import.meta.dir, "zc-side.ts");
const copySide = join(import.meta.dir, "copy-side.ts");

/** Lends frames by one of the back-ends. `port` may be the relay's. */
function lend(
  share: "fd" | "dax",
  { work, region }: Place,
  wish: Wish,
  ports?: { readonly send: number; readonly receive: number },
): Promise<Pair> {
  const side = (what: "send" | "receive") => {
    const words: ZcSide = {
      side: what,
      share,
      address: share === "fd" ? `unix:${join(work, "socket")}` : "127.0.0.1",
      port: share === "fd" ? undefined : ports?.[what],
      region,
      buffers: BUFFERS,
      inFlight: BUFFERS - 1,
      fps: 0,
      ...wish,
    };
    return [process.execPath, zcSide, JSON.stringify(words)];
  };
  return runPair({ send: side("send"), receive: side("receive") });
}

function copy(wish: Wish, ports: { readonly send: number; readonly receive: number }) {
  const { width, height, frames } = wish;
  const side = (what: "send" | "receive") => [
    process.execPath,
    copySide,
    ...[what, ports[what], width, height, frames].map(String),
  ];
  return runPair({ send: side("send"), receive: side("receive") });
}

const samePort = () => {
  const port = freePort();
  return { send: port, receive: port };
};

/** Runs `stream` with the relay between its two ports. */
async function apart(
  relay: string,
  delayMs: number,
  stream: (ports: { send: number; receive: number }) => Promise<Pair>,
): Promise<Pair> {
  if (delayMs === 0) return await stream(samePort());
  const ports = { send: freePort(), receive: freePort() };
  const words = [relay, String(ports.send), String(ports.receive), String(delayMs * 500)];
  const options = { stdin: "ignore", stdout: "ignore", stderr: "pipe", timeout: 60_000 } as const;
  const program = Bun.spawn(words, options);
  await started(program);
  try {
    return await stream(ports);
  } finally {
    program.kill();
    await program.exited;
  }
}

const rate = ({ receive }: Pair) => receive.frames / receive.seconds;
const us = (side: Side) => (side.cpuSeconds / side.frames) * 1e6;
const both = ({ send, receive }: Pair) => us(send) + us(receive);

/** Frames per second and processor time per frame by size, all ways in turn. */
async function measureSizes(place: Place, report: Report): Promise<void> {
  const ways = ["copy flow", "fd, one at a time", "fd", "dax, one at a time", "dax"] as const;
  const cost = new Map<string, number>();
  const rows: [string, ...Cell[]][] = [];
  for (const { copies, ...size } of sizes) {
    const runs = new Map<string, Pair[]>(ways.map((way) => [way, []]));
    for (let round = 0; round < ROUNDS; round++) {
      const keep = (way: (typeof ways)[number], pair: Pair) => runs.get(way)?.push(pair);
      const lent = { ...size, frames: LENT };
      keep("copy flow", await copy({ ...size, frames: copies }, samePort()));
      keep("fd, one at a time", await lend("fd", place, { ...lent, inFlight: 1 }));
      keep("fd", await lend("fd", place, lent));
      keep("dax, one at a time", await lend("dax", place, { ...lent, inFlight: 1 }, samePort()));
      keep("dax", await lend("dax", place, lent, samePort()));
    }
    for (const [way, pairs] of runs) {
      const mid = (value: (pair: Pair) => number) => median(pairs.map(value));
      cost.set(`${way} ${size.width}`, mid(both));
      const cpu = [mid(({ send }) => us(send)), mid(({ receive }) => us(receive))];
      rows.push([`${size.width}x${size.height}, ${way}`, mid(rate), cpu]);
    }
  }
  report.table({
    head: "YUYV",
    columns: [
      { name: "rate", unit: "frames/s", digits: 0, better: "more" },
      { name: "CPU", unit: "us a frame", digits: 1, better: "less", parts: sides },
    ],
    rows,
  });
  report.table({
    head: "CPU a frame",
    columns: [{ name: "3840x2160 / 640x480", unit: "", digits: 2, better: "less", bar: 1.3 }],
    rows: ["fd", "dax"].map((way) => [
      way,
      (cost.get(`${way} 3840`) ?? Number.NaN) / (cost.get(`${way} 640`) ?? Number.NaN),
    ]),
  });
}

/** Frames per second at a distance. */
async function measureDelays(place: Place, report: Report): Promise<void> {
  const rows: [string, ...Cell[]][] = [];
  for (const delayMs of delaysMs) {
    const seconds = 1.5;
    const perFlight = delayMs === 0 ? 20_000 : 1000 / (delayMs + 0.3);
    const count = (inFlight: number) => Math.ceil(perFlight * Math.min(inFlight, 7) * seconds);
    const results: Pair[][] = [[], [], []];
    for (let round = 0; round < DELAY_ROUNDS; round++) {
      for (const [i, inFlight] of [1, BUFFERS - 1].entries()) {
        const wish = { ...small, frames: count(inFlight), inFlight };
        const pair = await apart(place.relay, delayMs, (ports) => lend("dax", place, wish, ports));
        results[i]?.push(pair);
      }
      const copies = { ...small, frames: 1200 };
      results[2]?.push(await apart(place.relay, delayMs, (ports) => copy(copies, ports)));
    }
    const [alone = 0, together = 0, copied = 0] = results.map((pairs) => median(pairs.map(rate)));
    const gain = together / alone;
    const shown = delayMs === BAR_AT_MS ? { value: gain, bar: GAIN_BAR } : gain;
    rows.push([`${delayMs} ms`, alone, together, shown, copied]);
  }
  report.table({
    head: "round trip",
    columns: [
      { name: "one at a time", unit: "frames/s", digits: 0, better: "more" },
      { name: `${BUFFERS} buffers`, unit: "frames/s", digits: 0, better: "more" },
      { name: "ratio", unit: "", digits: 1, better: "more" },
      { name: "copy flow", unit: "frames/s", digits: 0, better: "more" },
    ],
    rows,
  });
}

/** Processor time at a camera's rate, and growth of the heap. */
async function measureRate(place: Place, report: Report): Promise<void> {
  const { fps, frames, percent } = RATE;
  const rows: [string, ...Cell[]][] = [];
  for (const share of ["fd", "dax"] as const) {
    const [, size] = sizes;
    const pair = await lend(share, place, { ...size, frames, fps }, samePort());
    const load = (side: "send" | "receive") => (100 * pair[side].cpuSeconds) / pair[side].seconds;
    rows.push([`1920x1080 at ${fps} fps, ${share}`, [load("send"), load("receive")]]);
  }
  report.table({
    head: "YUYV",
    columns: [
      { name: "CPU", unit: "%", digits: 2, better: "less", bar: percent, parts: sides, slack: 0.1 },
    ],
    rows,
  });
  const heap = await lend("fd", place, { width: 64, height: 48, frames: HEAP_FRAMES });
  const grown = [heap.send, heap.receive].map(({ heapGrowth, frames: of }) => heapGrowth / of);
  report.line(
    `JS heap growth over ${heap.send.frames} frames: ${heap.send.heapGrowth} + ${heap.receive.heapGrowth} bytes`,
  );
  report.table({
    head: "64x48",
    columns: [
      {
        ...{ name: "JS heap growth", unit: "bytes a frame", digits: 2, better: "less" },
        ...{ bar: 0.5, slack: 0.5, parts: sides },
      },
    ],
    rows: [["fd", grown]],
  });
}

/** What can be measured alone, by name. */
const parts = { sizes: measureSizes, delays: measureDelays, rate: measureRate } as const;

async function run(report: Report, part?: string): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), "framepass-bench-"));
  const relay = join(work, "delay");
  using region = Fd.memory("framepass-bench-region", 256 * 1024 * 1024);
  try {
    compileC("delay.c", relay);
    const place = { work, relay, region: `/proc/${process.pid}/fd/${region.number}` };
    for (const [name, measure] of Object.entries(parts))
      if ((part ?? name) === name) await measure(place, report);
  } finally {
    rmSync(work, { recursive: true });
  }
}

export const bench: Bench = {
  name: "zc",
  title: "the zero-copy flow against the copy flow and against one frame at a time",
  parts: Object.keys(parts),
  run,
};
