// vhost-user-video serves each front-end in a process of its own: how that process ends, and how it ends with the daemon.
import { beforeAll, expect, test } from "bun:test";
import { existsSync, lstatSync, mkdtempSync, rmSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Signal } from "../../ffi/epoll.ts";
import { Fd, O_CREAT, O_RDWR, truncate } from "../../ffi/fd.ts";
import { libc } from "../../ffi/libc.ts";
import { AF_INET, AF_UNIX, SOCK_DGRAM } from "../../ffi/linux/socket.ts";
import { inetAddress, unixAddress } from "../../ffi/sockaddr.ts";
import { isServed, listenOn, socketPair, startConnect } from "../../ffi/socket.ts";
import type { Loop } from "../../src/loop.ts";
import { oneInTime } from "../support/in-time.ts";
import { childrenOf, isRunning, listensAt } from "../support/processes.ts";
import { built, dist } from "../support/tool.ts";
import { FrontEnd, payload } from "../support/vhost/front-end.ts";
import { MIB } from "../support/vhost/guest-ram.ts";
import { onLoop } from "../support/vhost/scene.ts";

/** The executable: it starts three times as fast as the source. */
const program = [join(dist, "vhost-user-video")];
beforeAll(built, 60_000);
const FEATURES = 0x1_7000_0003n;

function spawn(
  words: readonly string[],
  fds: readonly number[] = [],
  env: Readonly<Record<string, string>> = {},
) {
  return Bun.spawn([...program, "-b", "null", ...words], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe", ...fds],
    timeout: 60_000,
  });
}
type Daemon = ReturnType<typeof spawn>;

interface Place {
  readonly loop: Loop;
  readonly socket: string;
  /** Starts the daemon on `socket` and waits until it listens. */
  start(...words: string[]): Promise<Daemon>;
}

/** A folder for a socket, and daemons that are ended at the end. */
async function withPlace(act: (place: Place) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "framepass-vhost-"));
  const socket = join(folder, "video.sock");
  const daemons: Daemon[] = [];
  try {
    await onLoop((loop) =>
      act({
        loop,
        socket,
        async start(...words) {
          const daemon = spawn(["-s", socket, ...words]);
          daemons.push(daemon);
          await until(() => listensAt(socket));
          return daemon;
        },
      }),
    );
  } finally {
    for (const daemon of daemons) {
      daemon.kill("SIGKILL");
      await daemon.exited;
    }
    rmSync(folder, { recursive: true, force: true });
  }
}

async function until(holds: () => boolean, limitMs = 8000): Promise<void> {
  const lateMs = performance.now() + limitMs;
  while (!holds()) {
    if (performance.now() > lateMs) throw new Error(`waited ${limitMs} ms for ${holds}`);
    await Bun.sleep(5);
  }
}

const connect = (loop: Loop, socket: string) =>
  new FrontEnd(loop, startConnect(unixAddress(socket)));

/** The limit of 5 s for the process before, and the start of the next one on a machine that is busy with other work. */
const ANSWER_MS = 15_000;

/** A front-end that was answered, and the process that serves it. */
async function served(loop: Loop, socket: string, daemon: Daemon) {
  const frontEnd = connect(loop, socket);
  frontEnd.send("GET_FEATURES");
  expect((await frontEnd.receive(ANSWER_MS))?.request).toBe(1);
  // One that was killed before is among them until the kernel has ended it.
  const running = () => childrenOf(daemon.pid).filter(isRunning);
  await until(() => running().length === 1);
  return { frontEnd, child: running()[0] ?? 0 };
}

const linesOf = async (daemon: Daemon) => {
  const text = await new Response(daemon.stderr).text();
  return text.split("\n").filter((line) => line !== "");
};
const aboutProcess = (lines: readonly string[]) => lines.filter((line) => /process/.test(line));

/** Passes 1 MiB of `file` as guest memory and starts both rings in it. Returns the kick of the first. */
async function runRings(frontEnd: FrontEnd, file: Fd): Promise<Signal> {
  const user = 0x7f00_0000_0000n;
  frontEnd.send("SET_OWNER");
  frontEnd.send("SET_FEATURES", payload.word(FEATURES));
  const regions = payload.regions([{ guest: 0n, size: BigInt(MIB), user, offset: 0n }]);
  frontEnd.send("SET_MEM_TABLE", regions, { fds: [file.number] });
  const kicks = [0, 1].map((index) => {
    const kick = new Signal();
    const at = user + BigInt(index * 0x4000);
    frontEnd.send("SET_VRING_NUM", payload.state(index, 64));
    frontEnd.send("SET_VRING_BASE", payload.state(index, 0));
    const addresses = { descriptors: at, available: at + 0x1000n, used: at + 0x2000n };
    frontEnd.send("SET_VRING_ADDR", payload.addresses(index, addresses));
    frontEnd.send("SET_VRING_KICK", payload.word(BigInt(index)), { fds: [kick.fd] });
    frontEnd.send("SET_VRING_ENABLE", payload.state(index, 1));
    return kick;
  });
  await frontEnd.settled();
  kicks[1]?.[Symbol.dispose]();
  return kicks[0] as Signal;
}

test("a front-end that shortens its memory file ends its own process: one line says so, and the next is served", () =>
  withPlace(async ({ loop, socket, start }) => {
    const daemon = await start("--json");
    using file = Fd.open(`${socket}.ram`, O_RDWR | O_CREAT);
    expect(truncate(file.number, MIB)).toBe(0);
    const { frontEnd, child } = await served(loop, socket, daemon);
    using _frontEnd = frontEnd;
    using kick = await runRings(frontEnd, file);
    expect(truncate(file.number, 0)).toBe(0);
    kick.raise();
    expect(await frontEnd.closed(4000)).toBe(true);
    const fromMs = performance.now();
    const next = await served(loop, socket, daemon);
    expect(performance.now() - fromMs).toBeLessThan(4000); // a process that is stuck is killed after 5 s
    expect(next.child).not.toBe(child);
    next.frontEnd[Symbol.dispose]();
    daemon.kill("SIGTERM");
    expect(await daemon.exited).toBe(0);
    expect(aboutProcess(await linesOf(daemon))).toEqual([
      `vhost-user-video: vhost: warn: the process of the front-end (${child}) was ended by SIGBUS (guest memory was cut off, or its tmpfs or huge pages ran out) after 0 requests`,
    ]);
  }));

test.each(["SIGKILL", "SIGSEGV"] as const)(
  "a front-end's process that ends by %s is one line, and its connection is closed",
  (signal) =>
    withPlace(async ({ loop, socket, start }) => {
      const daemon = await start();
      const { frontEnd, child } = await served(loop, socket, daemon);
      using _frontEnd = frontEnd;
      process.kill(child, signal);
      expect(await frontEnd.closed(4000)).toBe(true);
      (await served(loop, socket, daemon)).frontEnd[Symbol.dispose]();
      daemon.kill("SIGTERM");
      expect(await daemon.exited).toBe(0);
      const lines = await linesOf(daemon);
      expect(aboutProcess(lines).length).toBe(1);
      expect(aboutProcess(lines)[0]).toContain(`(${child}) was ended by ${signal}`);
      expect(lines.filter((line) => !line.startsWith("vhost-user-video: "))).toEqual([]);
    }),
);

test("a process that ignores the end of its connection is killed after five seconds, and the next front-end is served", () =>
  withPlace(async ({ loop, socket, start }) => {
    const daemon = await start();
    const { frontEnd, child } = await served(loop, socket, daemon);
    process.kill(child, "SIGSTOP");
    const fromMs = performance.now();
    frontEnd[Symbol.dispose]();
    const next = await served(loop, socket, daemon);
    expect(performance.now() - fromMs).toBeGreaterThan(4900);
    expect(isRunning(child)).toBe(false);
    next.frontEnd[Symbol.dispose]();
    daemon.kill("SIGTERM");
    expect(await daemon.exited).toBe(0);
    expect(aboutProcess(await linesOf(daemon))).toEqual([
      `vhost-user-video: vhost: warn: the process of the front-end (${child}) was killed because it had not ended 5 s after its front-end left, after 0 requests`,
    ]);
  }));

test.each([
  { signal: "SIGTERM", stuck: false },
  { signal: "SIGHUP", stuck: false },
  { signal: "SIGTERM", stuck: true },
  { signal: "SIGINT", stuck: true },
] as const)(
  "$signal while a front-end is served (its process stuck: $stuck) ends both within 300 ms, status 0, no socket left",
  ({ signal, stuck }) =>
    withPlace(async ({ loop, socket, start }) => {
      await oneInTime(300, async () => {
        const daemon = await start();
        const { frontEnd, child } = await served(loop, socket, daemon);
        using _frontEnd = frontEnd;
        if (stuck) process.kill(child, "SIGSTOP");
        const fromMs = performance.now();
        daemon.kill(signal);
        expect(await daemon.exited).toBe(0);
        const tookMs = performance.now() - fromMs;
        await until(() => !isRunning(child), 2000); // a stuck one was killed, and may wait for a processor
        expect(existsSync(socket)).toBe(false);
        expect(aboutProcess(await linesOf(daemon))).toEqual([]);
        return tookMs;
      });
    }),
);

test.each([false, true])(
  "a daemon that is killed leaves no process behind (a stuck one: %p), and nothing that listens",
  (stuck) =>
    withPlace(async ({ loop, socket, start }) => {
      const daemon = await start();
      const { frontEnd, child } = await served(loop, socket, daemon);
      using _frontEnd = frontEnd;
      if (stuck) process.kill(child, "SIGSTOP");
      daemon.kill("SIGKILL");
      await daemon.exited;
      await until(() => !isRunning(child), 2000);
      expect(isServed(unixAddress(socket))).toBe(false);
    }),
);

test("a socket path that another program has taken over meanwhile is not removed at the end", () =>
  withPlace(async ({ socket, start }) => {
    const daemon = await start();
    unlinkSync(socket);
    using other = listenOn(unixAddress(socket));
    const { ino } = lstatSync(socket);
    daemon.kill("SIGTERM");
    expect(await daemon.exited).toBe(0);
    expect(lstatSync(socket).ino).toBe(ino);
    expect(other.closed).toBe(false);
    expect(isServed(unixAddress(socket))).toBe(true);
  }));

test("--fd with a listening socket serves one front-end after the other, and leaves the path to its owner", () =>
  withPlace(async ({ loop, socket }) => {
    using listener = listenOn(unixAddress(socket));
    listener.setNonBlocking(false); // systemd passes it blocking
    const daemon = spawn(["--fd", "3"], [listener.number]);
    for (let i = 0; i < 3; i++) {
      const { frontEnd, child } = await served(loop, socket, daemon);
      using _frontEnd = frontEnd;
      expect(child).toBeGreaterThan(0);
    }
    daemon.kill("SIGTERM");
    expect(await daemon.exited).toBe(0);
    expect((await linesOf(daemon))[0]).toBe("vhost-user-video: listening on descriptor 3");
    expect(isServed(unixAddress(socket))).toBe(true); // by this process, the owner
  }));

const rawSocket = (family: number, type: number) => new Fd(libc.socket(family, type, 0), "test");

test.each([
  { what: "a Unix datagram socket", make: () => rawSocket(AF_UNIX, SOCK_DGRAM), says: "stream" },
  { what: "a Unix packet socket", make: () => rawSocket(AF_UNIX, 5), says: "stream" },
  { what: "a TCP listener", make: () => listenOn(inetAddress("127.0.0.1", 0)), says: "Unix" },
  { what: "a UDP socket", make: () => rawSocket(AF_INET, SOCK_DGRAM), says: "Unix" },
  { what: "a socket that does nothing", make: () => rawSocket(AF_UNIX, 1), says: "connected" },
  { what: "a file", make: () => Fd.open("/dev/null", O_RDWR), says: "no socket" },
])("--fd with $what: one line, status 2", async ({ make, says }) => {
  using fd = make();
  const daemon = spawn(["--fd", "3"], [fd.number]);
  expect(await daemon.exited).toBe(2);
  const lines = await linesOf(daemon);
  expect(lines.length).toBe(1);
  expect(lines[0]).toStartWith("vhost-user-video: error: --fd 3 ");
  expect(lines[0]).toContain(says);
});

test("--fd with a connection whose front-end has left already ends with status 0", async () => {
  const [ours, theirs] = socketPair();
  using _theirs = theirs;
  const daemon = spawn(["--fd", "3"], [theirs.number]);
  ours[Symbol.dispose]();
  expect(await daemon.exited).toBe(0);
});

test.each([
  ["FRAMEPASS_VHOST_LISTENER", "1"],
  ["FRAMEPASS_VHOST_LISTENER", String(process.pid)],
  ["FRAMEPASS_DECODER_DAEMON", "1"],
  ["FRAMEPASS_DECODER_DAEMON", String(process.pid)],
])("a user who sets %s=%s gets one line with its name, status 2", async (variable, value) => {
  const [ours, theirs] = socketPair();
  using _ours = ours;
  using _theirs = theirs;
  const daemon = spawn(["--fd", "3"], [theirs.number], { [variable]: value });
  expect(await daemon.exited).toBe(2);
  const lines = await linesOf(daemon);
  expect(lines.length).toBe(1);
  expect(lines[0]).toStartWith(`vhost-user-video: error: ${variable} is in the environment, and `);
});

test("an unknown back-end: the line lists those that there are, status 2", () => {
  const { exitCode, stderr } = Bun.spawnSync([...program, "-s", "/tmp/x", "-b", "vaapi"]);
  expect(exitCode).toBe(2);
  expect(stderr.toString()).toContain('--backend "vaapi" is unknown: auto, null (');
  expect(stderr.toString().trim().split("\n").length).toBe(1);
});

test("a decoder that is missing is one line before anything listens, status 3", () =>
  withPlace(async ({ socket }) => {
    const words = ["-b", "v4l2-decoder", "-d", "/dev/video-missing", "-s", socket];
    const { exitCode, stdout, stderr } = Bun.spawnSync([...program, ...words]);
    expect({ exitCode, stdout: stdout.toString() }).toEqual({ exitCode: 3, stdout: "" });
    const lines = stderr.toString().trim().split("\n");
    expect(lines.length).toBe(1);
    expect(lines[0]).toContain("/dev/video-missing");
    expect(existsSync(socket)).toBe(false);
  }));

test("JSON records count all front-ends, also one whose process was killed, and are whole lines at SIGTERM", () =>
  withPlace(async ({ loop, socket, start }) => {
    const daemon = await start("--json", "--stats", "0.01");
    for (let i = 0; i < 3; i++) {
      const { frontEnd, child } = await served(loop, socket, daemon);
      using _frontEnd = frontEnd;
      if (i === 1) process.kill(child, "SIGKILL");
    }
    const last = await served(loop, socket, daemon);
    daemon.kill("SIGTERM");
    expect(await daemon.exited).toBe(0);
    last.frontEnd[Symbol.dispose]();
    const text = await new Response(daemon.stdout).text();
    expect(text).toEndWith("}\n");
    const records = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(records.filter(({ record }) => record === "started").length).toBe(1);
    expect(records.filter(({ record }) => record === "stopped").length).toBe(1);
    expect(records.at(-1)).toMatchObject({ record: "stopped", front_ends: 4 });
    const listens = records.find(({ record }) => record === "listening");
    expect(listens).toMatchObject({ address: `unix:${socket}`, front_ends: 0 });
    const failures = records.filter(({ record }) => record === "failure");
    expect(failures.length).toBe(1);
    expect(failures[0]).toMatchObject({ class: "ProcessEnded", signal: "SIGKILL", front_ends: 2 });
  }));

test("JSON records of which the reader leaves: the daemon ends with one line and removes its socket", () =>
  withPlace(async ({ loop, socket, start }) => {
    const daemon = await start("--json", "--stats", "0.05");
    const { frontEnd, child } = await served(loop, socket, daemon);
    using _frontEnd = frontEnd;
    await daemon.stdout.cancel();
    expect(await daemon.exited).toBe(0);
    const lines = await linesOf(daemon);
    const said = lines.filter((line) => !line.includes("vhost: ") && !line.includes("listening"));
    expect(said.length).toBe(1);
    expect(said[0]).toStartWith("vhost-user-video: stdout: the program that read it has ended");
    await until(() => !isRunning(child), 2000);
    expect(existsSync(socket)).toBe(false);
  }));

test("front-ends that come without a pause are not all logged, but all are counted", () =>
  withPlace(async ({ loop, socket, start }) => {
    const daemon = await start("--json");
    const fromMs = performance.now();
    for (let i = 0; i < 30; i++) {
      const { frontEnd } = await served(loop, socket, daemon);
      frontEnd[Symbol.dispose]();
    }
    const last = await served(loop, socket, daemon);
    const mostLogged = 21 + (performance.now() - fromMs) / 1000;
    last.frontEnd[Symbol.dispose]();
    daemon.kill("SIGTERM");
    expect(await daemon.exited).toBe(0);
    const connected = (await linesOf(daemon)).filter((line) => line.endsWith("has connected"));
    expect(connected.length).toBeGreaterThanOrEqual(20);
    expect(connected.length).toBeLessThanOrEqual(mostLogged);
    const records = (await new Response(daemon.stdout).text()).trim().split("\n");
    expect(JSON.parse(records.at(-1) ?? "")).toMatchObject({ record: "stopped", front_ends: 31 });
  }));
