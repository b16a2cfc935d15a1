// The tools under a service manager: what they report, sockets that were passed to them, and who may connect to their own.
import { expect, test } from "bun:test";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { Fd } from "../../ffi/fd.ts";
import { inetAddress, unixAddress } from "../../ffi/sockaddr.ts";
import { listenOn, localAddress, packetPair, socketPair, startConnect } from "../../ffi/socket.ts";
import { displayNeeds } from "../../scripts/display-needs.ts";
import { ensureDebian } from "../../scripts/ensure.ts";
import { readGroups } from "../../src/stream/socket/access.ts";
import { NotifySocket } from "../support/notify-socket.ts";
import { freePort, run, type StartOptions, TempDir, Tool, toLoopback } from "../support/tool.ts";
import { until } from "../support/until.ts";

/** What systemd sets before it starts a service. */
const own = (variables: Record<string, string>): Pick<StartOptions, "under" | "env"> => ({
  under: ["sh", "-c", 'export LISTEN_PID=$$ WATCHDOG_PID=$$; exec "$0" "$@"'],
  env: variables,
});

test("a receiver is ready when it listens, says who is connected, and when it stops", async () => {
  using temp = new TempDir();
  const path = temp.file("notify");
  using manager = new NotifySocket(unixAddress(path));
  const port = freePort();
  const words = ["-l", "127.0.0.1", "-p", port, "--keep", "--stats", "0.1"];
  await using receiver = await Tool.start("receiver", words, { env: { NOTIFY_SOCKET: path } });
  await manager.says("READY=1");
  await using sender = await Tool.start("sender", [...toLoopback(port), "-r", "60"]);
  await manager.says("STATUS=receiving 640x480 YUYV from 127.0.0.1:");
  expect(await manager.says(" fps, ")).toMatch(
    /^STATUS=receiving 640x480 YUYV from 127.0.0.1:\d+: \d+ frames?, [\d.]+ fps, .* dropped, /,
  );
  sender.signal("SIGTERM");
  await sender.ended();
  await until("the receiver to listen again", 10_000, () => {
    const listens = manager.messages().at(-1) === `STATUS=listening on 127.0.0.1:${port}`;
    return listens || undefined;
  });
  receiver.signal("SIGTERM");
  expect((await receiver.ended()).status).toBe(130);
  expect(manager.messages().slice(-1)).toEqual(["STOPPING=1"]);
  expect(manager.messages().filter((message) => message === "READY=1").length).toBe(1);
});

test("a sender is ready when its source is open, before its receiver is there", async () => {
  using temp = new TempDir();
  const path = temp.file("notify");
  using manager = new NotifySocket(unixAddress(path));
  const words = [...toLoopback(freePort()), "--reconnect"];
  await using sender = await Tool.start("sender", words, { env: { NOTIFY_SOCKET: path } });
  await manager.says("READY=1");
  expect(await manager.says("STATUS=")).toStartWith("STATUS=connecting to 127.0.0.1:");
  sender.signal("SIGTERM");
  await sender.ended();
  expect(manager.messages().at(-1)).toBe("STOPPING=1");
});

test("a source that cannot be opened: never ready", async () => {
  using temp = new TempDir();
  const path = temp.file("notify");
  using manager = new NotifySocket(unixAddress(path));
  const words = ["-d", "/dev/video99", "-a", "127.0.0.1", "-p", freePort()];
  expect((await run("sender", words, { env: { NOTIFY_SOCKET: path } })).status).toBe(3);
  expect(manager.messages()).toEqual([]);
});

test("signs of life come from the loop, and end when the process is stopped", async () => {
  using temp = new TempDir();
  const path = temp.file("notify");
  using manager = new NotifySocket(unixAddress(path));
  const variables = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "200000" };
  await using receiver = await Tool.start("receiver", ["-p", freePort()], own(variables));
  const signs = () => manager.messages().filter((message) => message === "WATCHDOG=1").length;
  await until("two signs of life", 20_000, () => (signs() >= 2 ? true : undefined));
  receiver.signal("SIGSTOP");
  await until("the process to stop", 20_000, () => {
    const [, state] = readFileSync(`/proc/${receiver.pid}/stat`, "utf8").split(") ");
    return state?.startsWith("T") || undefined;
  });
  const before = signs();
  await Bun.sleep(500);
  expect(signs()).toBe(before);
});

test("a manager that is gone or does not read is no obstacle: the stream ends as ever", async () => {
  using temp = new TempDir();
  const path = temp.file("notify");
  using _unread = new NotifySocket(unixAddress(path));
  for (const notify of [temp.file("nowhere"), path]) {
    const env = { NOTIFY_SOCKET: notify, WATCHDOG_USEC: "2000" }; // the queue is full after 20 ms
    const stream = ["-l", `unix:${temp.file("stream")}`, "-n", "30", "--verify"];
    await using receiver = await Tool.start("receiver", stream, { env });
    await receiver.says("listening on");
    const words = [..."-d testsrc -r 60 -n 30 -a".split(" "), `unix:${temp.file("stream")}`];
    expect((await run("sender", words, { env })).status).toBe(0);
    expect(await receiver.ended()).toMatchObject({ status: 0 });
    expect(receiver.stderr).toContain("verified 30 frames");
  }
});

test("a process that vhost-user-video starts does not report: its variables are gone", async () => {
  using temp = new TempDir();
  const path = temp.file("notify");
  using manager = new NotifySocket(unixAddress(path));
  using listener = listenOn(unixAddress(temp.file("video")));
  using passed = Fd.duplicate(listener.number, "passed", 10);
  await using daemon = await Tool.start("vhost-user-video", ["-b", "null"], {
    ...own({ NOTIFY_SOCKET: path, LISTEN_FDS: "1", LISTEN_FDNAMES: "video", WATCHDOG_USEC: "9" }),
    inherits: [passed.number],
  });
  await manager.says("READY=1");
  expect(await manager.says("STATUS=listening")).toBe(
    `STATUS=listening on unix:${temp.file("video")}`,
  );
  using _frontEnd = startConnect(unixAddress(temp.file("video")));
  await manager.says("STATUS=serving front-end 1");
  const child = await until("a process of the front-end", 20_000, () => {
    const [first] = readFileSync(`/proc/${daemon.pid}/task/${daemon.pid}/children`, "utf8").split(
      " ",
    );
    if (first === undefined || first === "") return undefined;
    const words = readFileSync(`/proc/${first}/cmdline`, "utf8");
    return words.includes("--fd") ? first : undefined;
  });
  const variables = readFileSync(`/proc/${child}/environ`, "utf8");
  expect(variables).toContain("PATH=");
  expect(variables).not.toMatch(/NOTIFY_SOCKET|WATCHDOG|LISTEN_(FDS|PID|FDNAMES)/);
  daemon.signal("SIGTERM");
  expect((await daemon.ended()).status).toBe(0);
  expect(readdirSync(temp.path)).toContain("video"); // it belongs to the service manager
});

test.each([
  ["TCP", (_: TempDir) => inetAddress("127.0.0.1", 0)],
  ["Unix", (temp: TempDir) => unixAddress(temp.file("stream"))],
])(
  "a receiver serves on the %s socket that was passed, and leaves it where it is",
  async (kind, at) => {
    using temp = new TempDir();
    using listener = listenOn(at(temp));
    using passed = Fd.duplicate(listener.number, "passed", 10);
    const { name } = localAddress(listener);
    const address = kind === "Unix" ? `unix:${temp.file("stream")}` : name;
    const words = ["-d", "testsrc", "-r", "60", "-n", "5", "-a", address];
    // The connection waits in the queue of the socket until the receiver runs.
    await using sender = await Tool.start("sender", words);
    const given = { ...own({ LISTEN_FDS: "1" }), inherits: [passed.number] };
    const { status, lines } = await run("receiver", ["--verify"], given);
    expect(status).toBe(0);
    expect(lines).toContain(`receiver: listening on ${address}`);
    expect(lines.at(-1)).toBe("receiver: verified 5 frames");
    expect((await sender.ended()).status).toBe(0);
    if (kind === "Unix") expect(lstatSync(temp.file("stream")).isSocket()).toBe(true);
  },
);

test.each([
  { tool: "receiver_zc", from: "sender_zc" },
  { tool: "receiver_sdl", from: "sender" },
  { tool: "receiver_zc_sdl", from: "sender_zc" },
])("$tool takes a socket that was passed, too", async ({ tool, from }) => {
  ensureDebian(displayNeeds);
  using temp = new TempDir();
  const path = temp.file("stream");
  using listener = listenOn(unixAddress(path));
  using passed = Fd.duplicate(listener.number, "passed", 10);
  const words = ["-d", "testsrc", "-r", "60", "-n", "5", "-a", `unix:${path}`];
  await using sender = await Tool.start(from, words);
  const { status, lines } = await run(tool, ["--verify"], {
    ...own({ LISTEN_FDS: "1", SDL_VIDEODRIVER: "dummy" }),
    inherits: [passed.number],
  });
  expect(lines).toContain(`${tool}: verified 5 frames`);
  expect(status).toBe(0);
  expect((await sender.ended()).status).toBe(0);
});

test("sockets for another process are not used", async () => {
  using listener = listenOn(inetAddress("127.0.0.1", 0));
  using passed = Fd.duplicate(listener.number, "passed", 10);
  const env = { LISTEN_FDS: "1", LISTEN_PID: "1" };
  const { status, lines } = await run("receiver", [], { env, inherits: [passed.number] });
  expect(status).toBe(2);
  expect(lines[0]).toStartWith("receiver: error: --port is required");
});

const listening = () => listenOn(inetAddress("127.0.0.1", 0));

test.each([
  {
    what: "nonsense",
    count: "many",
    make: listening,
    words: [],
    says: 'number of sockets, got "many"',
  },
  { what: "a negative number", count: "-1", make: listening, words: [], says: 'got "-1"' },
  {
    what: "an absurd number",
    count: "99999999999",
    make: listening,
    words: [],
    says: 'got "99999999999"',
  },
  {
    what: "two sockets",
    count: "2",
    make: listening,
    words: [],
    says: "2 sockets were passed (a, b), and this tool listens on one",
  },
  {
    what: "a file",
    count: "1",
    make: () => Fd.memory("file", 4096),
    words: [],
    says: "descriptor 3 is no socket",
  },
  {
    what: "a connection",
    count: "1",
    make: () => socketPair()[0],
    words: [],
    says: "the socket that was passed is a connection: the socket unit needs Accept=no",
  },
  {
    what: "a socket of another type",
    count: "1",
    make: () => packetPair()[0],
    words: [],
    says: "the socket that was passed is no stream socket: the socket unit needs ListenStream=",
  },
  {
    what: "an address on the command line as well",
    count: "1",
    make: listening,
    words: ["-p", "5000"],
    says: "--port is given, and a service manager has passed the socket 127.0.0.1:",
  },
  {
    what: "a mode on the command line as well",
    count: "1",
    make: listening,
    words: ["--socket-mode", "660"],
    says: "use SocketGroup= and SocketMode= of its socket unit",
  },
  {
    what: "a camera that is only read on demand",
    count: "1",
    make: listening,
    words: ["--camera", "x", "--on-demand"],
    says: "--on-demand ends listening while no program reads",
  },
])("$what passed to a receiver: one line, status 2", async ({ count, make, words, says }) => {
  using made = make();
  using passed = Fd.duplicate(made.number, "passed", 10);
  const { status, stderr, lines } = await run("receiver", words, {
    ...own({ LISTEN_FDS: count, LISTEN_FDNAMES: "a:b" }),
    inherits: [passed.number],
  });
  expect({ status, lines: lines.length }).toEqual({ status: 2, lines: 1 });
  expect(stderr).toContain(says);
});

test("descriptors that were announced and are not open: one line, status 2", async () => {
  const { status, lines } = await run("receiver", [], own({ LISTEN_FDS: "1" }));
  expect({ status, lines: lines.length }).toEqual({ status: 2, lines: 1 });
  expect(lines[0]).toMatch(/LISTEN_FDS is set, and descriptor 3 is (not open|no socket)/);
});

test("vhost-user-video takes a Unix socket only", async () => {
  using made = listening();
  using passed = Fd.duplicate(made.number, "passed", 10);
  const { status, lines } = await run("vhost-user-video", ["-b", "null"], {
    ...own({ LISTEN_FDS: "1" }),
    inherits: [passed.number],
  });
  expect({ status, lines: lines.length }).toEqual({ status: 2, lines: 1 });
  expect(lines[0]).toContain("the socket that was passed is of another kind than unix");
});

const isRoot = process.getuid?.() === 0;
const [groupName = "", groupNumber = 0] =
  [...readGroups(readFileSync("/etc/group", "utf8"))].find(([, number]) => number > 0) ?? [];

test.each([
  { tool: "receiver", at: "-l unix:", words: [], mode: 0o777 & ~0o027 },
  { tool: "receiver", at: "-l unix:", words: ["--socket-mode", "606"], mode: 0o606 },
  { tool: "receiver_zc", at: "-l unix:", words: ["--socket-mode", "0777"], mode: 0o777 },
  {
    tool: "vhost-user-video",
    at: "-s ",
    words: ["-b", "null", "--socket-mode", "600"],
    mode: 0o600,
  },
])("$tool $words: the permissions of its socket", async ({ tool, at, words, mode }) => {
  using temp = new TempDir();
  const path = temp.file("socket");
  const place = `${at}${path}`.split(" ");
  const under = ["sh", "-c", 'umask 027; exec "$0" "$@"'];
  await using running = await Tool.start(tool, [...place, ...words], { under });
  await running.says("listening on");
  expect(lstatSync(path).mode & 0o777).toBe(mode);
  running.signal("SIGTERM");
  await running.ended();
  expect(readdirSync(temp.path)).toEqual([]);
});

test.skipIf(!isRoot).each([groupName, String(groupNumber)])(
  "--socket-group %s: the group of the socket, which may connect",
  async (group) => {
    using temp = new TempDir();
    const path = temp.file("socket");
    const words = ["-l", `unix:${path}`, "--socket-group", group];
    await using receiver = await Tool.start("receiver", words);
    await receiver.says("listening on");
    const { gid, mode } = lstatSync(path);
    expect({ gid, mode: mode & 0o777 }).toEqual({ gid: groupNumber, mode: 0o660 });
  },
);

test.skipIf(!isRoot)(
  "the socket is never open to more users than asked for: made for its owner, then group, then mode",
  async () => {
    ensureDebian([{ package: "strace", provides: "strace" }]);
    using temp = new TempDir();
    const trace = [
      "strace",
      "-D", // the receiver stays the process of the test, which ends it
      "-o",
      temp.file("trace"),
      "-e",
      "trace=fchmod,bind,chown,chmod,listen",
    ];
    const words = ["-l", `unix:${temp.file("s")}`, "--socket-group", groupName];
    await using receiver = await Tool.start("receiver", words, { under: trace });
    await receiver.says("listening on");
    const calls = readFileSync(temp.file("trace"), "utf8").match(/^\w+(?=\()/gm);
    expect(calls?.slice(-5)).toEqual(["fchmod", "bind", "chown", "chmod", "listen"]);
  },
);

test.skipIf(!isRoot)(
  "a group that this user may not give: one line, status 3, no socket left",
  async () => {
    using temp = new TempDir();
    const folder = Bun.spawnSync(["chmod", "777", temp.path]);
    expect(folder.exitCode).toBe(0);
    const under = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const words = ["-l", `unix:${temp.file("s")}`, "--socket-group", "0"];
    const { status, lines } = await run("receiver", words, { under });
    expect({ status, lines, left: readdirSync(temp.path) }).toEqual({
      status: 3,
      lines: [
        `receiver: chown unix:${temp.file("s")}: EPERM (operation not permitted); run as root, or name a group that this user is in`,
      ],
      left: [],
    });
  },
);

test.each([
  {
    tool: "receiver",
    words: ["-l", "unix:/tmp/x", "--socket-group", "no-such"],
    says: 'no group "no-such" in /etc/group',
  },
  {
    tool: "receiver",
    words: ["-l", "unix:/tmp/x", "--socket-group", "4294967295"],
    says: "0 to 4294967294",
  },
  {
    tool: "receiver",
    words: ["-l", "unix:/tmp/x", "--socket-mode", "rw"],
    says: "three octal digits like 660",
  },
  {
    tool: "receiver",
    words: ["-l", "unix:/tmp/x", "--socket-mode", "4660"],
    says: "three octal digits",
  },
  {
    tool: "receiver",
    words: ["-p", "5000", "--socket-mode", "660"],
    says: "--socket-mode is for Unix sockets",
  },
  { tool: "vhost-user-video", words: ["--fd", "0", "--socket-mode", "660"], says: "not of --fd" },
])("$tool $words: one line, status 2", async ({ tool, words, says }) => {
  const { status, lines } = await run(tool, words);
  expect({ status, lines: lines.length }).toEqual({ status: 2, lines: 1 });
  expect(lines[0]).toContain(says);
});
