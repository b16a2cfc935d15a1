// 16 senders at one receiver: none loses a frame, also beside one that sends as fast as it can. `bun run bench many` measures
// the same on a machine without other work, with fewer buffers.
import { expect, test } from "bun:test";
import { freePort, records, TempDir, Tool } from "../support/tool.ts";

const STREAMS = 16;
const FRAMES = 90;
/** A second of patience: other programs use the processors, too. */
const source = ["-d", "testsrc", "-r", "30", "-b", "32", "--stats", "0"];
const sizes = { steady: ["-f", "GREY"], fast: ["-W", "320", "-H", "240"] };

/** Sends `FRAMES` frames from each of `count` senders; answers how many frames each number missed. */
async function stream(flow: "copy" | "zc", count: number, fast: boolean): Promise<number[]> {
  using temp = new TempDir();
  const [from, to] = flow === "copy" ? ["sender", "receiver"] : ["sender_zc", "receiver_zc"];
  const port = freePort();
  const [listen, call] =
    flow === "copy"
      ? [
          ["-l", "127.0.0.1", "-p", port],
          ["-a", "127.0.0.1", "-p", port],
        ]
      : [
          ["-l", `unix:${temp.file("s")}`, "-s", "fd"],
          ["-a", `unix:${temp.file("s")}`],
        ];
  const words = [...listen, "--senders", `${STREAMS}`, "--keep", "--verify", "--json"];
  await using receiver = await Tool.start(to, words);
  await receiver.says("listening on");
  await using all = new AsyncDisposableStack();
  const steady: Tool[] = [];
  const size = fast ? sizes.fast : sizes.steady;
  const own = [...source, ...size, ...call, "-n", `${FRAMES}`];
  for (let i = 0; i < count; i++) steady.push(all.use(await Tool.start(from, own)));
  await Promise.all(steady.map((_, i) => receiver.says(`sender ${i + 1}: `)));
  if (fast) all.use(await Tool.start(from, ["-d", "testsrc", "-r", "0", ...size, ...call]));
  const ends = await Promise.all(steady.map((tool) => tool.ended()));
  expect(ends.map(({ status }) => status)).toEqual(ends.map(() => 0));
  await receiver.says("has gone", count);
  receiver.signal("SIGTERM");
  const { stdout } = await receiver.ended();
  const stopped = records(stdout).filter(({ record, sender }) => record === "stopped" && sender);
  expect(stopped.map(({ verified, frames }) => verified === frames)).not.toContain(false);
  const some = stopped.filter(({ sender }) => Number(sender) <= count);
  expect(some.map(({ frames }) => frames)).toEqual(some.map(() => FRAMES));
  expect(some.length).toBe(count);
  return some.map(({ drops }) => Number(drops));
}

/** A busy machine may stop a program for a second. A fault costs frames each time. */
async function losesNone(once: () => Promise<number[]>): Promise<void> {
  let missing = await once();
  for (let i = 0; i < 2 && missing.some((frames) => frames > 0); i++) missing = await once();
  expect(missing).toEqual(missing.map(() => 0));
}

test.each(["copy", "zc"] as const)("16 senders at 30 fps lose no frame, %s", async (flow) => {
  await losesNone(() => stream(flow, STREAMS, false));
});

test.each(["copy", "zc"] as const)(
  "15 senders at 30 fps lose no frame beside one that sends as fast as it can, %s",
  async (flow) => {
    await losesNone(() => stream(flow, STREAMS - 1, true));
  },
);
