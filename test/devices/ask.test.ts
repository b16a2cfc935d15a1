// Nodes are asked in processes of their own; programs that have a device open are found in /proc.
import { expect, test } from "bun:test";
import { answerOf } from "../../src/devices/answer.ts";
import { askNodes } from "../../src/devices/ask.ts";
import { findHolders } from "../../src/devices/holders.ts";
import { unknownDevice } from "../../src/devices/report.ts";
import { Loop } from "../../src/loop.ts";
import { onLoop } from "../support/loop.ts";
import { childrenOf, isRunning } from "../support/processes.ts";
import { leftBehind, nothing } from "../support/resources.ts";
import { until } from "../support/until.ts";

const shell = { file: "/bin/sh", name: "sh", words: ["-c"] };
const answer = (node: string) => JSON.stringify({ ...unknownDevice(node, "x", ""), kinds: [] });

// First, because descriptors of a process that has ended are closed a moment later.
test("without devices, and with nodes that are no devices, no process is looked at", async () => {
  const left = await leftBehind("nothing", () => {
    expect(findHolders([], "/nonesuch").of.size).toBe(0);
    expect(findHolders(["/etc/passwd"]).of.size).toBe(0);
  });
  expect(left).toEqual(nothing);
});

test("the answers are in the order of the nodes, however long each one takes", async () => {
  const nodes = [
    "/dev/video0",
    "/dev/video1",
    "/dev/video2",
    "/dev/video3",
    "/dev/video4",
    "/dev/video5",
  ];
  const words = (node: string) => [`sleep 0.${9 - Number(node.at(-1))}; echo '${answer(node)}'`];
  const ask = () =>
    onLoop((loop, signal) => askNodes(loop, nodes, { program: shell, words }, signal), 10_000);
  expect((await ask()).map(({ node }) => node)).toEqual(nodes);
});

test("a node whose driver hangs costs its own report only, and its process is killed", async () => {
  const words = (node: string) =>
    node.endsWith("1") ? ["exec sleep 61.7"] : [`echo '${answer(node)}'; echo trailing`];
  const nodes = ["/dev/video0", "/dev/video1"];
  const options = { program: shell, words, limitMs: 400 };
  const startMs = performance.now();
  const reports = await onLoop((loop, signal) => askNodes(loop, nodes, options, signal));
  expect(performance.now() - startMs).toBeLessThan(3000);
  expect(reports.map(({ problem }) => problem)).toEqual([
    "",
    "no answer in 0.4 s: its driver hangs",
  ]);
  await until("the end of the process", 3000, () => {
    const { stdout } = Bun.spawnSync(["pgrep", "-f", "^sleep 61.7"]);
    return stdout.length === 0 ? true : undefined;
  });
});

test("the process is killed, too, when a handler of the loop throws while its answer is waited for", async () => {
  using loop = new Loop();
  const before = childrenOf(process.pid);
  const { signal } = new AbortController();
  const task = answerOf(loop, ["sleep", "60"], { limitMs: 60_000 }, signal);
  const [child = 0] = childrenOf(process.pid).filter((pid) => !before.includes(pid));
  expect(child).toBeGreaterThan(0);
  using _fault = loop.after(20, () => {
    throw new Error("a fault");
  });
  const message = await loop.run(task).catch((error: Error) => error.message);
  expect(message).toBe("a fault");
  await until("the end of the process", 20_000, () => (isRunning(child) ? undefined : true));
});

test("a process that fails or prints something else is said, and is no error", async () => {
  const words = () => ["exit 3"];
  const reports = await onLoop((loop, signal) =>
    askNodes(loop, ["/dev/video0"], { program: shell, words }, signal),
  );
  expect(reports[0]?.problem).toBe("the process that asked it has failed");
});

test("a stop ends the questions at once", async () => {
  const stop = new AbortController();
  const startMs = performance.now();
  await onLoop((loop) => {
    loop.after(100, () => stop.abort());
    const words = () => ["exec sleep 61.8"];
    return askNodes(loop, ["/dev/video0"], { program: shell, words }, stop.signal);
  });
  expect(performance.now() - startMs).toBeLessThan(2000);
});

test("a program that has a device open is found with its name and number, this process is not", async () => {
  const child = Bun.spawn(["sh", "-c", "exec 7</dev/full; exec sleep 60"]);
  try {
    const found = await until("the open device", 5000, () =>
      findHolders(["/dev/full", "/dev/nonesuch"])
        .of.get("/dev/full")
        ?.find(({ pid, program }) => pid === child.pid && program === "sleep"),
    );
    expect(found).toEqual({ pid: child.pid, program: "sleep" });
  } finally {
    child.kill();
    await child.exited;
  }
});
