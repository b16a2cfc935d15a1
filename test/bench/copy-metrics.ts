// What --metrics costs a stream: the copy flow without it, with it and nobody asking, and with an open page, alternating in one run.
import { join } from "node:path";
import { freePort, median, type Report } from "./bench.ts";
import type { Column } from "./figures.ts";
import { type Pair, runPair } from "./pair.ts";

const SIZE = { width: 1920, height: 1080 };
const FRAMES = 3000;
const ROUNDS = 7;
/** What a page in a browser asks for once a second. */
const PATHS = ["figures", "picture.png"];
/** Processor time with the option while nobody asks, as a part of that without: the rate depends on what else the machine does. */
const BAR = 1.05;

async function pair(metrics: number | undefined): Promise<Pair> {
  const port = freePort();
  const side = join(import.meta.dir, "copy-side.ts");
  const words = (what: string) =>
    [process.execPath, side, what, port, SIZE.width, SIZE.height, FRAMES].map(String);
  const more = metrics === undefined ? [] : [String(metrics)];
  return await runPair({ send: words("send"), receive: [...words("receive"), ...more] });
}

/** A pair whose receiver's page is open. */
async function watched(): Promise<Pair> {
  const metrics = freePort();
  let open = true;
  const watch = async () => {
    while (open) {
      for (const path of PATHS)
        await fetch(`http://127.0.0.1:${metrics}/${path}`)
          .then((answer) => answer.bytes())
          .catch(() => undefined); // the receiver has not started, or has ended
      await Bun.sleep(1000);
    }
  };
  const watching = watch();
  try {
    return await pair(metrics);
  } finally {
    open = false;
    await watching;
  }
}

const ways = [
  { name: "without --metrics", run: () => pair(undefined), bar: undefined },
  { name: "with --metrics", run: () => pair(freePort()), bar: BAR },
  { name: "with an open page", run: watched, bar: undefined },
] as const;

const columns: readonly Column[] = [
  { name: "rate", unit: "MB/s", digits: 0, better: "more" },
  { name: "rate, to without", unit: "", digits: 2, better: "more" },
  { name: "CPU", unit: "s/GB", digits: 3, better: "less" },
  { name: "CPU, to without", unit: "", digits: 2, better: "less" },
  { name: "RSS", unit: "MiB", digits: 0, better: "less" },
];

/** What the option costs without requests, and with a page open. */
export async function measureMetrics(report: Report): Promise<void> {
  const rounds: Pair[][] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const pairs: Pair[] = [];
    for (const { run } of ways) pairs.push(await run());
    rounds.push(pairs);
  }
  const bytes = SIZE.width * SIZE.height * 2;
  const rate = ({ receive }: Pair) => (receive.frames * bytes) / receive.seconds / 1e6;
  const cost = ({ receive }: Pair) => (receive.cpuSeconds / (receive.frames * bytes)) * 1e9;
  const none: Pair = {
    send: { frames: 0, seconds: 0, cpuSeconds: 0, rssMib: 0, heapGrowth: 0 },
    receive: { frames: 0, seconds: 0, cpuSeconds: 0, rssMib: 0, heapGrowth: 0 },
  };
  const mid = (value: (pair: Pair, without: Pair) => number, way: number) =>
    median(rounds.map((pairs) => value(pairs[way] ?? none, pairs[0] ?? none)));
  const ratio = (way: number) => mid((one, without) => rate(one) / rate(without), way);
  const costRatio = (way: number) => mid((one, without) => cost(one) / cost(without), way);
  report.table({
    head: "receiver, YUYV 1920x1080",
    columns,
    rows: ways.map(({ name, bar }, way) => [
      name,
      mid(rate, way),
      ratio(way),
      mid(cost, way),
      bar === undefined ? costRatio(way) : { value: costRatio(way), bar },
      mid(({ receive }) => receive.rssMib, way),
    ]),
  });
}
