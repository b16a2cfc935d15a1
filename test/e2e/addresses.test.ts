// Where tools listen and connect to: IPv4, IPv6, names, Unix sockets, vsock; which senders are accepted; what prevents listening.
import { expect, test } from "bun:test";
import { existsSync, lstatSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { inetAddress } from "../../ffi/sockaddr.ts";
import { listenOn, startConnect } from "../../ffi/socket.ts";
import { freePort, listening, run, TempDir, Tool, within } from "../support/tool.ts";

const endless = ["-d", "testsrc", "-W", "64", "-H", "48", "-r", "200"];
const small = [...endless, "-n", "5"];

/** Sends five verified pictures from one address to the other. */
async function passes(listen: string[], to: string[]): Promise<void> {
  await using receiver = await Tool.start("receiver", [...listen, "--verify"]);
  await receiver.says("listening on");
  const sent = await run("sender", [...small, ...to]);
  expect(sent.stderr).toContain("done: 5 frames");
  expect(sent.status).toBe(0);
  const { status, stderr } = await receiver.ended();
  expect({ listen, status }).toEqual({ listen, status: 0 });
  expect(stderr).toContain("verified 5 frames");
}

const hasIpv6 =
  existsSync("/proc/net/if_inet6") && readFileSync("/proc/net/if_inet6", "utf8") !== "";

test("pictures pass over IPv4, every address of the host, a host name and a Unix socket", async () => {
  using temp = new TempDir();
  const [one, two, three] = [freePort(), freePort(), freePort()];
  const unix = `unix:${temp.file("s")}`;
  await Promise.all([
    passes(["-l", "127.0.0.1", "-p", one], ["-a", "127.0.0.1", "-p", one]),
    passes(["-p", two], ["-a", "127.0.0.1", "-p", two]),
    passes(["-l", "localhost", "-p", three], ["-a", "localhost", "-p", three]),
    passes(["-l", unix], ["-a", unix]),
  ]);
  expect(existsSync(temp.file("s"))).toBe(false); // the receiver removes its socket
});

test.skipIf(!hasIpv6)("pictures pass over IPv6, and :: takes both kinds of senders", async () => {
  const [one, two, three] = [freePort(), freePort(), freePort()];
  await Promise.all([
    passes(["-l", "[::1]", "-p", one], ["-a", "[::1]", "-p", one]),
    passes(["-l", "::", "-p", two], ["-a", "::1", "-p", two]),
    passes(["-l", "::", "-p", three], ["-a", "127.0.0.1", "-p", three]),
  ]);
});

/** Without vsock_loopback a kernel connects to other machines only: the guest lab does that. */
const hasVsock = existsSync("/dev/vsock") && existsSync("/sys/module/vsock_loopback");

test.skipIf(!hasVsock)("pictures pass over vsock, where the host has vsock_loopback", async () => {
  const port = freePort();
  await passes(["-l", "vsock:any", "-p", port], ["-a", "vsock:1", "-p", port]);
});

test("--allow accepts the listed senders and refuses all others, which disturb no stream", async () => {
  const refusing = await listening(["--allow", "10.0.0.0/8", "--allow", "::1"]);
  await using _ = refusing;
  const refused = await run("sender", [...endless, "-a", "127.0.0.1", "-p", refusing.port]);
  expect(refused.status).toBe(1);
  await refusing.says("is not in --allow, refused");
  refusing.signal("SIGTERM");
  expect((await refusing.ended()).status).toBe(130);
  const port = freePort();
  await passes(
    ["-p", port, "--allow", "10.0.0.0/8", "--allow", "127.0.0.0/8"],
    ["-a", "127.0.0.1", "-p", port],
  );
});

test.skipIf(!hasIpv6)("--allow knows an IPv4 sender when it comes in by ::", async () => {
  const [one, two] = [freePort(), freePort()];
  await passes(["-l", "::", "-p", one, "--allow", "127.0.0.1/32"], ["-a", "127.0.0.1", "-p", one]);
  await using refusing = await Tool.start("receiver", ["-l", "::", "-p", two, "--allow", "::1"]);
  await refusing.says("listening on");
  expect((await run("sender", [...endless, "-a", "127.0.0.1", "-p", two])).status).toBe(1);
  await refusing.says("127.0.0.1:");
  await refusing.says("is not in --allow, refused");
});

test("a second receiver on a port ends with one line and exit status 3, and leaves the first's file alone", async () => {
  using temp = new TempDir();
  const output = temp.file("frames");
  await using first = await listening([]);
  writeFileSync(output, "precious");
  const { status, lines } = await run("receiver", [
    "-l",
    "127.0.0.1",
    "-p",
    first.port,
    "-o",
    output,
  ]);
  expect({ status, lines: lines.length }).toEqual({ status: 3, lines: 1 });
  expect(lines[0]).toContain(`bind 127.0.0.1:${first.port}: EADDRINUSE`);
  expect(lines[0]).toContain("choose another --port");
  expect(readFileSync(output, "utf8")).toBe("precious");
});

test("a port can be listened on again at once", async () => {
  const port = freePort();
  await passes(["-p", port], ["-a", "127.0.0.1", "-p", port]);
  await passes(["-p", port], ["-a", "127.0.0.1", "-p", port]);
});

test("a stale Unix socket is replaced; a live one, or a file that is no socket, never", async () => {
  using temp = new TempDir();
  const path = temp.file("s");
  const listen = ["-l", `unix:${path}`];
  {
    await using killed = await Tool.start("receiver", listen);
    await killed.says("listening on");
    killed.signal("SIGKILL");
    await killed.ended();
  }
  expect(lstatSync(path).isSocket()).toBe(true); // stale
  await using live = await Tool.start("receiver", [...listen, "--verify"]);
  await live.says("listening on");
  const second = await run("receiver", listen);
  expect({ status: second.status, lines: second.lines.length }).toEqual({ status: 3, lines: 1 });
  expect(second.stderr).toContain("another program listens there");
  const sent = await run("sender", [...small, "-a", `unix:${path}`]);
  expect(sent.status).toBe(0); // the first one was not disturbed
  expect((await live.ended()).status).toBe(0);
  expect(existsSync(path)).toBe(false);
  writeFileSync(path, "a letter");
  const third = await run("receiver", listen);
  expect({ status: third.status, lines: third.lines.length }).toEqual({ status: 3, lines: 1 });
  expect(readFileSync(path, "utf8")).toBe("a letter");
});

test("a refused connection, a missing socket and an unknown name are said with what to do", async () => {
  const refused = await run("sender", [...small, "-a", "127.0.0.1", "-p", freePort()]);
  expect(refused.status).toBe(1);
  expect(refused.lines.at(-1)).toMatch(
    /error: connect 127\.0\.0\.1:\d+: ECONNREFUSED \(.*\); start the receiver/,
  );
  const missing = await run("sender", [...small, "-a", "unix:/nonexistent/socket"]);
  expect(missing.status).toBe(1);
  expect(missing.lines.at(-1)).toContain("connect unix:/nonexistent/socket: ENOENT");
  const nowhere = await run("receiver", ["-l", "unix:/nonexistent/socket"]);
  expect(nowhere.status).toBe(3);
  expect(nowhere.lines.at(-1)).toContain("make the folder first");
});

test("--connect-timeout ends an attempt that gets no answer", async () => {
  // A listener with a full backlog drops further connections, so that connect gets no answer.
  const at = inetAddress("127.0.0.1", Number(freePort()));
  using hole = listenOn(at, 0);
  using owned = new DisposableStack();
  for (let i = 0; i < 4; i++) owned.use(startConnect(at));
  const [, port = ""] = hole.name.split(":");
  const fromMs = performance.now();
  const { status, lines } = await run("sender", [
    ...small,
    "-a",
    "127.0.0.1",
    "-p",
    port,
    "-t",
    "250",
  ]);
  expect(performance.now() - fromMs).toBeWithin(250, 2000);
  expect(status).toBe(1);
  expect(lines.at(-1)).toContain("ETIMEDOUT");
  expect(lines.at(-1)).toContain("--connect-timeout");
});

test("a receiver with -l 127.0.0.1 listens on no other address", async () => {
  await using receiver = await listening([]);
  const socket = connect({ host: "127.0.0.2", port: Number(receiver.port) });
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
  socket.once("connect", () => resolve("connected"));
  expect(await within(promise, "an answer")).toBe("ECONNREFUSED");
});
