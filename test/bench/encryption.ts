// `bun run bench encryption`: the copy flow between two network namespaces, plain and through each tunnel of docs/encryption.md,
// alternating in one run. The tunnels are made by the lines of the page.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { plainLines, toolLine, tunnels } from "../support/encryption-page.ts";
import { ensureTunnels, TunnelHosts } from "../support/tunnel-hosts.ts";
import { type Bench, median, type Report } from "./bench.ts";

const WIDTH = 1280;
const HEIGHT = 720;
const FRAME_BYTES = WIDTH * HEIGHT * 2;
const FILM_FRAMES = 4;
const FRAMES = 300;
const ROUNDS = 3;

interface Way {
  readonly name: string;
  readonly hosts: TunnelHosts;
  readonly receiver: string;
  readonly sender: string;
}

/** The lines of the tools with a recording at full speed instead of the checked source: its drawing would be measured, too. */
const atFullSpeed = (lines: { receiver: string; sender: string }) => ({
  receiver: lines.receiver.replace(" --verify", " --json --stats 0"),
  sender: lines.sender
    .replace("-d testsrc", `-d film.yuv -W ${WIDTH} -H ${HEIGHT} -r 0`)
    .replace("-n 60", `-n ${FRAMES}`),
});

async function makeWays(owned: AsyncDisposableStack): Promise<Way[]> {
  const ways: Way[] = [];
  const film = crypto.getRandomValues(new Uint8Array(1 << 16));
  for (const tunnel of [undefined, ...tunnels()]) {
    const hosts = owned.use(await TunnelHosts.make());
    const pictures = Buffer.alloc(FILM_FRAMES * FRAME_BYTES, film);
    writeFileSync(join(hosts.directory("sender"), "film.yuv"), pictures);
    if (tunnel !== undefined) await hosts.make(tunnel);
    const side = (name: "receiver" | "sender") =>
      tunnel === undefined ? plainLines[name] : toolLine(tunnel, name);
    const lines = { receiver: side("receiver"), sender: side("sender") };
    ways.push({ name: tunnel?.name ?? "plain", hosts, ...atFullSpeed(lines) });
  }
  return ways;
}

/** Megabytes a second that arrive. */
async function rate({ hosts, receiver: to, sender: from }: Way): Promise<number> {
  await using receiver = await hosts.start("receiver", to);
  await receiver.says("listening on");
  await using sender = await hosts.start("sender", from);
  await sender.ended(120_000);
  const { stdout } = await receiver.ended();
  const stopped = JSON.parse(stdout.trim().split("\n").at(-1) ?? "{}");
  if (stopped.frames !== FRAMES) throw new Error(`${stopped.frames} frames arrived`);
  return stopped.bytes / stopped.seconds / 1e6;
}

async function run(report: Report): Promise<void> {
  ensureTunnels();
  await using owned = new AsyncDisposableStack();
  const ways = await makeWays(owned);
  const rates = new Map<string, number[]>(ways.map(({ name }) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const way of ways) rates.get(way.name)?.push(await rate(way));
  }
  const mid = (name: string) => median(rates.get(name) ?? []);
  report.table({
    head: "way",
    columns: [
      { name: "rate", unit: "MB/s", digits: 0, better: "more" },
      { name: "of plain", unit: "%", digits: 0, better: "more" },
      { name: "1920x1080 YUYV", unit: "frames/s", digits: 0, better: "more" },
    ],
    rows: ways.map(({ name }) => {
      const share = (100 * mid(name)) / mid("plain");
      return [name, mid(name), share, fps(mid(name))];
    }),
  });
}

const fps = (mbPerSecond: number) => (mbPerSecond * 1e6) / (1920 * 1080 * 2);

export const bench: Bench = {
  name: "encryption",
  title: "the copy flow through WireGuard, stunnel and ssh -L against the same without a tunnel",
  run,
};
