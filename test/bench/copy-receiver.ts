// Our receiver against a C receiver with the same feeder for both, a C sender: what the sender does differs in no way.
import { join } from "node:path";
import { freePort, median, type Report } from "./bench.ts";
import type { Cell, Column } from "./figures.ts";
import type { Side } from "./meter.ts";
import { runPair } from "./pair.ts";

const sizes = [
  { width: 640, height: 480, frames: 16_000 },
  { width: 1920, height: 1080, frames: 2400 },
  { width: 3840, height: 2160, frames: 600 },
] as const;
const ROUNDS = 9;

const columns: readonly Column[] = [
  { name: "C rate", unit: "MB/s", digits: 0 },
  { name: "our rate", unit: "MB/s", digits: 0, better: "more" },
  { name: "rate, ours / C", unit: "", digits: 2, better: "more", bar: 1 },
  { name: "C CPU", unit: "s/GB", digits: 3 },
  { name: "our CPU", unit: "s/GB", digits: 3, better: "less" },
  { name: "CPU, ours / C", unit: "", digits: 2, better: "less", bar: 1 },
  { name: "CPU of the C sender, to us / to C", unit: "", digits: 2, better: "less" },
];

interface Round {
  readonly c: { readonly send: Side; readonly receive: Side };
  readonly ours: { readonly send: Side; readonly receive: Side };
}

/** `program` is copy.c. Reports the medians, and the ratio of processor time in each round. */
export async function measureReceiver(program: string, report: Report): Promise<void> {
  const side = join(import.meta.dir, "copy-side.ts");
  const rows: [string, ...Cell[]][] = [];
  for (const { width, height, frames } of sizes) {
    const pair = (...receiver: string[]) => {
      const words = [freePort(), width, height, frames].map(String);
      const send = [program, "send", ...words];
      return runPair({ send, receive: [...receiver, "receive", ...words] });
    };
    const rounds: Round[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const c = await pair(program);
      rounds.push({ c, ours: await pair(process.execPath, side) });
    }
    const bytes = width * height * 2;
    const rate = (one: Side) => (one.frames * bytes) / one.seconds / 1e6;
    const cost = (one: Side) => (one.cpuSeconds / (one.frames * bytes)) * 1e9;
    const mid = (value: (round: Round) => number) => median(rounds.map(value));
    const ratio = ({ c, ours }: Round) => cost(ours.receive) / cost(c.receive);
    const size = `${width}x${height}`;
    rows.push([
      size,
      mid(({ c }) => rate(c.receive)),
      mid(({ ours }) => rate(ours.receive)),
      mid(({ c, ours }) => rate(ours.receive) / rate(c.receive)),
      mid(({ c }) => cost(c.receive)),
      mid(({ ours }) => cost(ours.receive)),
      mid(ratio),
      mid(({ c, ours }) => cost(ours.send) / cost(c.send)),
    ]);
    const each = rounds.map((round) => ratio(round).toFixed(2)).join(" ");
    report.line(`${size}, CPU of the receivers, ours / C, each round: ${each}`);
  }
  report.table({ head: "receiver fed by a C sender, YUYV", columns, rows });
}
