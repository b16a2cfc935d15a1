// What both sides say when a stream is refused, and how a sender behaves that comes back.
import { expect, test } from "bun:test";
import { frameBytes, helloBytes, RawReceiver, RawSender } from "../support/peer.ts";
import { freePort, listening, run, TempDir, Tool, toLoopback, within } from "../support/tool.ts";

const small = ["-W", "64", "-H", "48", "-f", "GREY", "-r", "50"];

test("a sender that is refused says why: a frame too large, a busy receiver, an address not in --allow", async () => {
  const says = async (words: string[], reason: string, ...before: string[][]) => {
    await using receiver = await listening(words);
    await using stack = new AsyncDisposableStack();
    for (const first of before) {
      stack.use(await Tool.start("sender", [...toLoopback(receiver.port), ...first]));
      await receiver.says(" sends ");
    }
    const sent = await run("sender", [...toLoopback(receiver.port), ...small, "-n", "3"]);
    expect(sent.stderr).toContain(`the receiver refused the stream: ${reason}`);
    expect(sent.stderr).toContain("failed: 0 frames, 0 bytes");
    expect(sent.status).toBe(1);
  };
  await says(["--max-frame", "3000"], "hello: sizeimage is 3072");
  await says([], "it is busy with another sender", small);
  await says(["--allow", "10.0.0.0/8"], "127.0.0.1:");
});

test("sender to receiver_zc and sender_zc to receiver: both sides name the program that fits", async () => {
  using temp = new TempDir();
  const address = `unix:${temp.file("s")}`;
  {
    await using receiver = await Tool.start("receiver_zc", ["-l", address]);
    await receiver.says("listening on");
    const sent = await run("sender", ["-d", "testsrc", ...small, "-a", address]);
    expect(sent.stderr).toContain(
      "this stream is from sender: use receiver, or send with sender_zc",
    );
    expect((await receiver.ended()).stderr).toContain(
      "this stream is from sender: use receiver, or send with sender_zc",
    );
  }
  {
    await using receiver = await Tool.start("receiver", ["-l", address]);
    await receiver.says("listening on");
    const sent = await run("sender_zc", ["-d", "testsrc", ...small, "-a", address]);
    expect(sent.stderr).toContain(
      "this stream is from sender_zc: use receiver_zc, or send with sender",
    );
    expect((await receiver.ended()).stderr).toContain(
      "this stream is from sender_zc: use receiver_zc, or send with sender",
    );
  }
});

test("receiver_zc without --keep is not ended by what is no sender, and takes the buffers of its first sender", async () => {
  using temp = new TempDir();
  const address = `unix:${temp.file("s")}`;
  await using receiver = await Tool.start("receiver_zc", ["-l", address, "--share", "fd"]);
  await receiver.says("listening on");
  for (const bytes of [new Uint8Array(0), new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n")]) {
    using peer = await RawSender.to({ path: temp.file("s") });
    await peer.send(bytes);
    peer.end();
    await within(peer.closed, "the close");
  }
  const words = ["-d", "testsrc", ...small, "-a", address, "--share", "fd", "-n", "3"];
  expect((await run("sender_zc", words)).status).toBe(0);
  const { status, stderr } = await receiver.ended();
  expect(status).toBe(0);
  expect(stderr).toMatch(/closed after 0 of the 28 bytes of a hello; waiting for the next sender/);
  expect(stderr).toMatch(/hello: magic is 0x47455420.*; waiting for the next sender/);
  expect(stderr).toContain("done: 3 frames");
});

test("a sender that is refused again and again comes back less and less often, and neither log is flooded", async () => {
  await using receiver = await listening(["--keep", "--max-frame", "3000", "--stats", "0"]);
  const words = [...toLoopback(receiver.port), ...small, "--reconnect", "--stats", "0"];
  await using sender = await Tool.start("sender", words);
  await sender.says("trying again in 100 ms");
  await Bun.sleep(6000);
  for (const tool of [sender, receiver]) tool.signal("SIGINT");
  const [sent, received] = [await sender.ended(), await receiver.ended()];
  expect(sent.lines.length).toBeLessThan(10);
  expect(received.lines.length).toBeLessThan(10);
  expect(sent.stderr).toMatch(/trying again in (800|1000) ms \([3-8] times more\)/);
  expect(received.stderr).toMatch(/waiting for the next sender \([3-8] times more\)/);
  expect(sent.stderr).toContain("stopped: 0 frames, 0 bytes");
});

test("wrong hellos of one kind are one line in the receiver's log, whatever numbers are in them", async () => {
  await using receiver = await listening(["--keep", "--max-frame", "3000", "--stats", "0"]);
  for (let i = 0; i < 12; i++) {
    const pixelformat = 0x4142_4344 + i;
    for (const bytes of [helloBytes({ magic: 0x1000 + i }), helloBytes({ pixelformat })]) {
      using peer = await RawSender.to({ host: "127.0.0.1", port: Number(receiver.port) });
      await peer.send(bytes);
      await within(peer.closed, "the close");
    }
  }
  receiver.signal("SIGINT");
  const { lines } = await receiver.ended();
  const about = (text: string) => lines.filter((line) => line.includes(text));
  for (const kind of ["hello: magic is", "hello: sizeimage is"]) {
    expect(about(kind).length).toBeGreaterThanOrEqual(2);
    expect(about(kind).length).toBeLessThan(12);
    expect(about(kind).at(-1)).toMatch(/\(\d+ times more\)/);
  }
});

test("with --reconnect no line tells to use --reconnect", async () => {
  await using sender = await Tool.start("sender", [
    ...["-d", "testsrc", "-a", `127.0.0.1:${freePort()}`, "--reconnect"],
  ]);
  await sender.says("start the receiver; trying again");
  sender.signal("SIGINT");
  expect((await sender.ended()).stderr).not.toContain("--reconnect");
});

test("a sender that waits for a paused receiver says so once", async () => {
  using receiver = await RawReceiver.listen(true);
  await using sender = await Tool.start("sender", [
    ...toLoopback(receiver.port),
    ...["-W", "1920", "-H", "1080", "--stats", "0"],
  ]);
  await sender.says("the receiver takes nothing");
  await Bun.sleep(2500);
  sender.signal("SIGINT");
  const { status, lines } = await sender.ended();
  expect(lines.filter((line) => line.includes("takes nothing"))).toHaveLength(1);
  expect(status).toBe(130);
});

test("--stall-timeout ends a sender whose receiver takes nothing, and a receiver whose sender stops inside a message", async () => {
  using paused = await RawReceiver.listen(true);
  const large = ["-W", "1920", "-H", "1080", "--stall-timeout", "1"];
  const sent = await run("sender", [...toLoopback(paused.port), ...large]);
  expect(sent.stderr).toContain("the receiver took nothing for 1 s");
  expect(sent.status).toBe(1);
  await using receiver = await listening(["--stall-timeout", "1.5"]);
  using peer = await RawSender.to({ host: "127.0.0.1", port: Number(receiver.port) });
  await peer.send(helloBytes());
  await peer.send(frameBytes(0, 3072));
  const { status, stderr } = await receiver.ended();
  expect(stderr).toContain("silent for 1.5 s after 0 of the 3072 bytes of a payload");
  expect(status).toBe(1);
  await within(peer.closed, "the close");
});

test("-n and -k mean what they mean in the C programs: -n -1 is unlimited, -n 0 ends with the hello, -k 0 waits for ever", async () => {
  using temp = new TempDir();
  const address = `unix:${temp.file("s")}`;
  for (const [from, to] of [
    ["sender", "receiver"],
    ["sender_zc", "receiver_zc"],
  ] as const) {
    const source = ["-d", "testsrc", ...small, "-a", address];
    {
      await using receiver = await Tool.start(to, ["-l", address]);
      await receiver.says("listening on");
      const sent = await run(from, [...source, "-n", "0"]);
      expect({ from, status: sent.status }).toEqual({ from, status: 0 });
      expect(sent.stderr).toContain("done: 0 frames");
      const { status, stderr } = await receiver.ended();
      expect({ to, status }).toEqual({ to, status: 0 });
      expect(stderr).toContain("done: 0 frames");
    }
    {
      await using receiver = await Tool.start(to, ["-l", address, "-n", "0"]);
      await receiver.says("listening on");
      await using sender = await Tool.start(from, [...source, "-n", "-1"]);
      const { status, stderr } = await receiver.ended();
      expect({ to, status }).toEqual({ to, status: 0 });
      expect(stderr).toContain("done: 0 frames");
      expect((await sender.ended()).status).toBe(1); // the receiver has left
    }
  }
  await using receiver = await Tool.start("receiver_zc", ["-l", address, "-n", "-1"]);
  await receiver.says("listening on");
  const words = ["-d", "testsrc", ...small, "-a", address, "-n", "10", "-k", "0"];
  const sent = await run("sender_zc", words);
  expect(sent.stderr).toContain("10 frames were returned");
  expect(sent.stderr).not.toContain("took longer");
  expect([sent.status, (await receiver.ended()).status]).toEqual([0, 0]);
});

test("receiver_zc for which no way is possible names each way with its reason, and what to do", async () => {
  for (const device of ["/dev/nosuch", "/dev/null"]) {
    const words = ["-d", device, "-l", "127.0.0.1", "-p", freePort()];
    const { status, lines } = await run("receiver_zc", words);
    expect({ device, status }).toEqual({ device, status: 3 });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      /receiver_zc: virtio-media \(\S+ \S+: (ENOENT|ENOTTY) .*\); listen on unix:\/path .*, give --region .*, or .* framepass share status/,
    );
    expect(lines[0]).not.toContain("connect the camera");
  }
});
