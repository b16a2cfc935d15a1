// The executables start the process of a front-end however they were called, and when their file was replaced meanwhile.
import { expect, test } from "bun:test";
import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { unixAddress } from "../../ffi/sockaddr.ts";
import { startConnect } from "../../ffi/socket.ts";
import { projectDir } from "../../scripts/ensure.ts";
import { childrenOf, isRunning } from "../support/processes.ts";
import { built, dist, records, TempDir, Tool } from "../support/tool.ts";
import { until } from "../support/until.ts";
import { FrontEnd } from "../support/vhost/front-end.ts";
import { onLoop } from "../support/vhost/scene.ts";

/** Connects to the daemon and is answered, by the process `by`; returns the command line of the process that serves. */
async function answered(daemon: Tool, socket: string, by?: number): Promise<string[]> {
  let words: string[] = [];
  await onLoop(async (loop) => {
    using frontEnd = new FrontEnd(loop, startConnect(unixAddress(socket)));
    frontEnd.send("GET_FEATURES");
    expect((await frontEnd.receive(8000))?.request).toBe(1);
    const [child = 0] = childrenOf(daemon.pid);
    if (by !== undefined) expect(child).toBe(by);
    words = readFileSync(`/proc/${child}/cmdline`, "utf8").split("\0").slice(0, -1);
  });
  return words;
}

/** The process that the daemon has started, when it is none of `before`. */
const childOf = (daemon: Tool, before: ReadonlySet<number>) =>
  until("a child", 8000, () => childrenOf(daemon.pid).find((child) => !before.has(child)));

const ended = (pid: number) => until("its end", 8000, () => (isRunning(pid) ? undefined : true));

/** Where the executable is, and the words before its options. */
interface Call {
  readonly path: string;
  readonly words?: readonly string[];
}

const calls: readonly { how: string; make: (temp: TempDir) => Promise<Call> | Call }[] = [
  { how: "by the name of its link", make: () => ({ path: join(dist, "vhost-user-video") }) },
  {
    how: "as a subcommand",
    make: () => ({ path: join(dist, "framepass"), words: ["vhost-user-video"] }),
  },
  {
    how: "as a subcommand of a copy with another name",
    make(temp) {
      copyFileSync(join(dist, "framepass"), temp.file("video"));
      return { path: temp.file("video"), words: ["vhost-user-video"] };
    },
  },
  { how: "as a tool built alone and renamed", make: builtAlone },
];

async function builtAlone(temp: TempDir): Promise<Call> {
  const parts = ["cmd", "src", "ffi", "scripts", "package.json", "bun.lock"];
  Bun.spawnSync(["cp", "-r", ...parts, temp.path], { cwd: projectDir });
  symlinkSync(join(projectDir, "node_modules"), temp.file("node_modules"));
  const command = [process.execPath, "run", "build", "vhost-user-video"];
  const { exitCode } = Bun.spawnSync(command, { cwd: temp.path, timeout: 60_000 });
  expect(exitCode).toBe(0);
  copyFileSync(temp.file("dist/vhost-user-video"), temp.file("renamed"));
  return { path: temp.file("renamed") };
}

test.each(calls)(
  "called $how, each front-end gets a process with the same options",
  async ({ make }) => {
    await built();
    using temp = new TempDir();
    const { path, words = [] } = await make(temp);
    const socket = temp.file("s");
    const options = "-b null --max-streams 3 --log-level debug".split(" ");
    await using daemon = await Tool.start("", [...words, "-s", socket, ...options], { path });
    await daemon.says("listening");
    const called = await answered(daemon, socket);
    expect(called[0]).toBe("vhost-user-video");
    expect(called.slice(1).join(" ")).toBe(
      "--fd 3 --backend null --max-streams 3 --log-level debug",
    );
    await daemon.says("the front-end has left after");
    daemon.signal("SIGTERM");
    expect((await daemon.ended()).status).toBe(0);
  },
);

test("the process of a front-end is started before it comes, one for each", async () => {
  await built();
  using temp = new TempDir();
  const socket = temp.file("s");
  await using daemon = await Tool.start("vhost-user-video", ["-b", "null", "-s", socket]);
  await daemon.says("listening");
  const seen = new Set<number>();
  for (let i = 0; i < 3; i++) {
    const ahead = await childOf(daemon, seen);
    seen.add(ahead);
    await answered(daemon, socket, ahead);
    await ended(ahead);
  }
  daemon.signal("SIGTERM");
  expect((await daemon.ended()).status).toBe(0);
});

test.each(["SIGKILL", "SIGTERM"] as const)(
  "a process that %s ended before its front-end came is replaced, and SIGTERM of the daemon ends one that waits",
  async (name) => {
    await built();
    using temp = new TempDir();
    const socket = temp.file("s");
    await using daemon = await Tool.start("vhost-user-video", ["-b", "null", "-s", socket]);
    await daemon.says("listening");
    const ahead = await childOf(daemon, new Set());
    process.kill(ahead, name);
    await ended(ahead); // the kernel closes its sockets a moment after the signal
    await answered(daemon, socket);
    const next = await childOf(daemon, new Set([ahead]));
    daemon.signal("SIGTERM");
    const { status, lines } = await daemon.ended();
    expect(status).toBe(0);
    expect(lines.filter((line) => line.includes("error") || line.includes("warn"))).toEqual([]);
    await ended(next);
  },
);

test("a daemon whose executable was replaced meanwhile serves on with the old one", async () => {
  await built();
  using temp = new TempDir();
  const path = temp.file("vhost-user-video");
  copyFileSync(join(dist, "framepass"), path);
  await using daemon = await Tool.start("", ["-b", "null", "-s", temp.file("s")], { path });
  await daemon.says("listening");
  unlinkSync(path);
  await answered(daemon, temp.file("s"));
  writeFileSync(path, "another program");
  await answered(daemon, temp.file("s"));
  daemon.signal("SIGTERM");
  const { status, lines } = await daemon.ended();
  expect(status).toBe(0);
  expect(lines.filter((line) => line.includes("error") || line.includes("warn"))).toEqual([]);
});

test("a daemon whose working directory was removed meanwhile serves on", async () => {
  await built();
  using temp = new TempDir();
  const cwd = temp.file("folder");
  mkdirSync(cwd);
  const words = ["-b", "null", "-s", temp.file("s")];
  await using daemon = await Tool.start("vhost-user-video", words, { cwd });
  await daemon.says("listening");
  rmdirSync(cwd);
  await answered(daemon, temp.file("s"));
  daemon.signal("SIGTERM");
  const { status, lines } = await daemon.ended();
  expect(status).toBe(0);
  expect(lines.filter((line) => !line.startsWith("vhost-user-video: "))).toEqual([]);
});

test("front-ends whose processes cannot be started are not all logged, and get records as often", async () => {
  await built();
  using temp = new TempDir();
  const words = ["-b", "null", "-s", temp.file("s"), "--json"];
  const under = ["sh", "-c", 'ulimit -n 12; exec "$0" "$@"']; // enough to listen and accept
  await using daemon = await Tool.start("vhost-user-video", words, { under });
  await daemon.says("listening");
  const fromMs = performance.now();
  await onLoop(async (loop) => {
    for (let i = 0; i < 100; i++) {
      using frontEnd = new FrontEnd(loop, startConnect(unixAddress(temp.file("s"))));
      expect(await frontEnd.receive(8000)).toBeUndefined(); // it was closed
    }
  });
  const mostLogged = 21 + (performance.now() - fromMs) / 1000;
  daemon.signal("SIGTERM");
  const { status, lines, stdout } = await daemon.ended();
  expect(status).toBe(0);
  const refused = lines.filter((line) => line.includes("a front-end cannot be served"));
  expect(refused.length).toBeGreaterThanOrEqual(20);
  expect(refused.length).toBeLessThanOrEqual(mostLogged);
  for (const line of refused) expect(line).toContain("EMFILE (too many open files)");
  expect(records(stdout).filter(({ record }) => record === "failure").length).toBe(refused.length);
});

test("a daemon that is short of open files for a while serves on afterwards", async () => {
  await built();
  using temp = new TempDir();
  const words = ["-b", "null", "-s", temp.file("s")];
  await using daemon = await Tool.start("vhost-user-video", words);
  await daemon.says("listening");
  const limit = (most: number) =>
    expect(Bun.spawnSync(["prlimit", "--pid", `${daemon.pid}`, `--nofile=${most}:`]).exitCode).toBe(
      0,
    );
  limit(4);
  const serving = answered(daemon, temp.file("s"));
  await daemon.says("EMFILE (too many open files); trying again");
  limit(256);
  await serving;
  daemon.signal("SIGTERM");
  expect((await daemon.ended()).status).toBe(0);
});
