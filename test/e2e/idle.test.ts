// A tool that has nothing to do does not wake up, and still notices a signal at once.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { unixAddress } from "../../ffi/sockaddr.ts";
import { startConnect } from "../../ffi/socket.ts";
import { projectDir } from "../../scripts/ensure.ts";
import { oneInTime } from "../support/in-time.ts";
import { helloBytes, RawSender } from "../support/peer.ts";
import { childrenOf, waitsOf } from "../support/processes.ts";
import { freePort, TempDir, Tool, within } from "../support/tool.ts";

/** How long wake-ups are counted. */
const SECONDS = 3;
/** With a limit of 100 ms there were 30. */
const MOST_WAKE_UPS = 5;
/** From a signal to the end of the process: the program's own limit, and time for a machine that is busy with other tests. */
const LIMIT_MS = 300 + 500;

/** Expects that none of the processes wakes up, after what their start or the last message has left to do. */
async function expectIdle(pids: readonly number[]): Promise<void> {
  await Bun.sleep(1000);
  const before = pids.map(waitsOf);
  await Bun.sleep(SECONDS * 1000);
  for (const [i, pid] of pids.entries())
    expect(waitsOf(pid) - (before[i] ?? 0)).toBeLessThanOrEqual(MOST_WAKE_UPS);
}

/** Starts each of the tools that only listen. `temp` has their sockets. */
async function listeners(temp: TempDir): Promise<Tool[]> {
  const rows: readonly (readonly [string, ...string[]])[] = [
    ["receiver", "-p", freePort(), "--keep"],
    ["receiver_zc", "-l", `unix:${temp.file("zc")}`, "--keep"],
    ["vhost-user-video", "-b", "null", "-s", temp.file("video")],
    ["vhost-user-media", "-d", "testsrc", "-s", temp.file("media")],
  ];
  const started = rows.map(async ([name, ...words]) => {
    const tool = await Tool.start(name, words);
    await tool.says("listening on");
    return tool;
  });
  return await Promise.all(started);
}

async function endBy(tool: Tool, signal: NodeJS.Signals): Promise<number> {
  const fromMs = performance.now();
  tool.signal(signal);
  expect([0, 130]).toContain((await tool.ended()).status ?? -1); // 0: a daemon
  return performance.now() - fromMs;
}

test("a tool that listens wakes up for nothing, and each signal that stops it ends it at once", async () => {
  using temp = new TempDir();
  const first = await listeners(temp);
  await expectIdle(first.map(({ pid }) => pid));
  await Promise.all(first.map((tool) => endBy(tool, "SIGTERM")));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    await oneInTime(LIMIT_MS, async () => {
      const tools = await listeners(temp);
      await Bun.sleep(500); // the waits have no limit now
      let longestMs = 0;
      for (const tool of tools) longestMs = Math.max(longestMs, await endBy(tool, signal));
      return longestMs;
    });
  }
});

test("a connected tool whose peer is silent wakes up for nothing, and a signal ends it at once", async () => {
  await oneInTime(LIMIT_MS, async () => {
    using temp = new TempDir();
    const port = freePort();
    await using receiver = await Tool.start("receiver", ["-p", port, "--stats", "0"]);
    await receiver.says("listening on");
    using sender = await RawSender.to({ host: "127.0.0.1", port: Number(port) });
    await sender.send(helloBytes());
    await receiver.says("sends 64x48");
    await using video = await Tool.start("vhost-user-video", [
      "-b",
      "null",
      "-s",
      temp.file("video"),
    ]);
    await video.says("listening on");
    using _frontEnd = startConnect(unixAddress(temp.file("video")));
    for (let i = 0; i < 200 && childrenOf(video.pid).length === 0; i++) await Bun.sleep(20);
    const children = childrenOf(video.pid);
    expect(children.length).toBe(1);
    await expectIdle([receiver.pid, video.pid, ...children]);
    const longestMs = Math.max(await endBy(receiver, "SIGINT"), await endBy(video, "SIGTERM"));
    return longestMs;
  });
});

test("at 60 fps a receiver wakes up once for a frame, a sender twice: for the frame and for its return", async () => {
  using temp = new TempDir();
  const socket = `unix:${temp.file("zc")}`;
  await using receiver = await Tool.start("receiver_zc", ["-l", socket]);
  await receiver.says("listening on");
  const source = ["-d", "testsrc", "-W", "64", "-H", "48", "-r", "60"];
  await using sender = await Tool.start("sender_zc", ["-a", socket, ...source]);
  await receiver.says("sends 64x48");
  await Bun.sleep(1000);
  const fromMs = performance.now();
  const before = [receiver, sender].map(({ pid }) => waitsOf(pid));
  await Bun.sleep(SECONDS * 1000);
  const frames = ((performance.now() - fromMs) * 60) / 1000;
  const waits = [receiver, sender].map(({ pid }, i) => waitsOf(pid) - (before[i] ?? 0));
  // What is more: statistics, code that is compiled. A busy machine wakes them up for several frames at a time.
  expect(waits[0]).toBeLessThanOrEqual(frames * 1.1 + MOST_WAKE_UPS);
  expect(waits[1]).toBeLessThanOrEqual(frames * 2.1 + MOST_WAKE_UPS);
});

test("2000 signals, each sent as soon as the one before was answered, end 2000 waits", async () => {
  const file = join(projectDir, "test/support/signalled-program.ts");
  const child = Bun.spawn([process.execPath, file], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 60_000,
  });
  try {
    let answers = 0;
    const echo = async () => {
      for await (const part of child.stdout) {
        answers += part.length;
        if (answers > 2000) return;
        child.kill("SIGUSR2");
      }
    };
    await within(echo(), "2000 answers");
    expect(answers).toBe(2001);
  } finally {
    child.kill("SIGTERM");
    await within(child.exited, "the program");
  }
});
