// SIGINT and SIGTERM at every moment: exit status 130, the summary, nothing left behind, without delay.
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { Fd, O_NONBLOCK, O_RDWR } from "../../ffi/fd.ts";
import { inetAddress } from "../../ffi/sockaddr.ts";
import { listenOn, socketPair, startConnect } from "../../ffi/socket.ts";
import { oneInTime } from "../support/in-time.ts";
import { frameBytes, helloBytes, RawReceiver, RawSender } from "../support/peer.ts";
import { freePort, listening, TempDir, Tool, toLoopback } from "../support/tool.ts";

/** The program's own limit is 300 ms; the rest is for a machine that is busy with other tests. */
const LIMIT_MS = 300 + 500;

/** Sends each signal to a tool of its own at the same moment of its life. */
async function stopsAt(moment: string, arrive: () => Promise<{ tool: Tool } & AsyncDisposable>) {
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    await oneInTime(LIMIT_MS, async () => {
      await using there = await arrive();
      const fromMs = performance.now();
      there.tool.signal(name);
      const { status, stderr } = await there.tool.ended();
      const tookMs = performance.now() - fromMs;
      expect({ moment, name, status }).toEqual({ moment, name, status: 130 });
      expect(stderr).toMatch(/: stopped: \d+ frames?, \d+ bytes in /);
      expect(stderr).not.toContain("error");
      return tookMs;
    });
  }
}

/** A tool, and what is disposed with it. */
function moment(tool: Tool, ...others: Disposable[]): { tool: Tool } & AsyncDisposable {
  return {
    tool,
    async [Symbol.asyncDispose]() {
      await tool[Symbol.asyncDispose]();
      for (const other of others) other[Symbol.dispose]();
    },
  };
}

/** Bytes of a 64x48 YUYV picture with padded rows: more than a pipe holds. */
const LARGE = 170 * 64 * 48 * 2;
const large = ["-W", "1920", "-H", "1080"]; // more than the sockets' buffers hold

test("a receiver that waits for a sender", async () => {
  await stopsAt("while it waits", async () => moment(await listening(["--keep"])));
});

test("a receiver that waits for a reader of its named pipe", async () => {
  await stopsAt("while it waits for a reader", async () => {
    const temp = new TempDir();
    Bun.spawnSync(["mkfifo", temp.file("pipe")]);
    const tool = await Tool.start("receiver", ["-p", freePort(), "-o", temp.file("pipe")]);
    await tool.says("waiting for a program that reads this pipe");
    return moment(tool, temp);
  });
});

test("a receiver whose pipe is full", async () => {
  await stopsAt("while its pipe is full", async () => {
    const temp = new TempDir();
    Bun.spawnSync(["mkfifo", temp.file("pipe")]);
    const reader = Fd.open(temp.file("pipe"), O_RDWR | O_NONBLOCK); // holds it open, reads nothing
    const tool = await listening(["-o", temp.file("pipe")]);
    const sender = await RawSender.to({ host: "127.0.0.1", port: Number(tool.port) });
    await sender.send(helloBytes({ sizeimage: LARGE }));
    const frame = Buffer.concat([frameBytes(0, LARGE), new Uint8Array(LARGE)]);
    await sender.send(new Uint8Array(frame));
    await tool.says("sends 64x48");
    return moment(tool, sender, reader, temp);
  });
});

test("a receiver whose stdout is a socket that is full", async () => {
  await stopsAt("while its socket is full", async () => {
    const [ours, theirs] = socketPair();
    theirs.setNonBlocking(false); // as most programs hand it over
    const tool = await listening(["-o", "-"], { stdout: theirs.number });
    theirs[Symbol.dispose]();
    const sender = await RawSender.to({ host: "127.0.0.1", port: Number(tool.port) });
    await sender.send(helloBytes({ sizeimage: LARGE }));
    const frame = Buffer.concat([frameBytes(0, LARGE), new Uint8Array(LARGE)]);
    await sender.send(new Uint8Array(frame));
    await tool.says("sends 64x48");
    return moment(tool, sender, ours);
  });
});

test("a receiver in the middle of a stream, and one in the middle of a frame", async () => {
  await stopsAt("while it receives", async () => {
    const tool = await listening();
    const sender = await Tool.start("sender", [...toLoopback(tool.port), "-r", "0"]);
    await tool.says("sends 640x480");
    const end = { [Symbol.dispose]: () => sender.signal("SIGKILL") };
    return moment(tool, end);
  });
  await stopsAt("while a frame is half there", async () => {
    const tool = await listening();
    const sender = await RawSender.to({ host: "127.0.0.1", port: Number(tool.port) });
    await sender.send(helloBytes());
    await sender.send(frameBytes(0, 1000));
    await tool.says("sends 64x48");
    return moment(tool, sender);
  });
});

test("a sender that streams", async () => {
  await stopsAt("while it sends", async () => {
    const receiver = await RawReceiver.listen();
    const tool = await Tool.start("sender", toLoopback(receiver.port));
    await tool.says("connected to");
    await Bun.sleep(50);
    return moment(tool, receiver);
  });
});

test("a sender whose receiver takes nothing", async () => {
  await stopsAt("while the receiver stalls", async () => {
    const receiver = await RawReceiver.listen(true);
    const tool = await Tool.start("sender", [...toLoopback(receiver.port), ...large, "-r", "0"]);
    await tool.says("connected to");
    await Bun.sleep(100);
    return moment(tool, receiver);
  });
});

test("a sender between two tries, and one whose connection gets no answer", async () => {
  await stopsAt("while it waits to try again", async () => {
    const tool = await Tool.start("sender", [...toLoopback(freePort()), "--reconnect"]);
    await tool.says("trying again in 100 ms");
    return moment(tool);
  });
  await stopsAt("while it connects", async () => {
    const port = freePort();
    const at = inetAddress("127.0.0.1", Number(port));
    const owned = new DisposableStack();
    owned.use(listenOn(at, 0));
    for (let i = 0; i < 4; i++) owned.use(startConnect(at)); // the backlog is full, the next gets no answer
    const tool = await Tool.start("sender", toLoopback(port));
    await tool.says("640x480");
    await Bun.sleep(50);
    return moment(tool, owned);
  });
});

test("a stopped receiver ends its stream as cleanly as a sender: file whole, socket gone", async () => {
  using temp = new TempDir();
  const path = temp.file("s");
  await using tool = await Tool.start("receiver", ["-l", `unix:${path}`, "-o", temp.file("raw")]);
  await tool.says("listening on");
  await using _sender = await Tool.start("sender", [
    "-d",
    "testsrc",
    "-r",
    "0",
    "-a",
    `unix:${path}`,
  ]);
  await tool.says("sends 640x480");
  await Bun.sleep(100);
  tool.signal("SIGTERM");
  const { status, stderr } = await tool.ended();
  expect(status).toBe(130);
  const [, frames] = /stopped: (\d+) frames?/.exec(stderr) ?? [];
  expect(Number(frames)).toBeGreaterThan(0);
  expect(Bun.file(temp.file("raw")).size).toBe(Number(frames) * 640 * 480 * 2);
  expect(existsSync(path)).toBe(false);
});

test("a sender that is stopped ends after a whole frame when the receiver takes it", async () => {
  using receiver = await RawReceiver.listen();
  await using tool = await Tool.start("sender", [
    ...toLoopback(receiver.port),
    ...large,
    "-r",
    "0",
  ]);
  await tool.says("connected to");
  await Bun.sleep(150);
  tool.signal("SIGINT");
  const { stderr } = await tool.ended();
  await receiver.ended.promise;
  const [, frames] = /stopped: (\d+) frames?/.exec(stderr) ?? [];
  expect(receiver.frames.length).toBe(Number(frames));
  expect(receiver.rest).toBe(0);
});
