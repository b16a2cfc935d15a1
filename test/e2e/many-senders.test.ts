// One receiver for several senders, as executables: who gets which file, and what one of them cannot do to the others.
import { expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { frameBytes, GREY, helloBytes, RawSender } from "../support/peer.ts";
import { makePipes } from "../support/pipe.ts";
import { freePort, listening, records, run, TempDir, Tool, toLoopback } from "../support/tool.ts";

const small = ["-W", "64", "-H", "48", "-f", "GREY", "--stats", "0"];
const PICTURE = 64 * 48;

/** Sends so many frames; answers how the sender ended. */
const send = (port: string, frames: number, words: readonly string[] = ["-r", "0"]) =>
  run("sender", [...toLoopback(port), ...small, "-n", `${frames}`, ...words]);

/** A sender that sends 30 frames a second until it is stopped. */
const live = (port: string) => Tool.start("sender", [...toLoopback(port), ...small, "-r", "30"]);

async function stop(tool: Tool): Promise<void> {
  tool.signal("SIGTERM");
  expect((await tool.ended()).status).toBe(130);
}

/** The stopped record of a sender's number; of all together without one. */
const stoppedOf = (stdout: string, sender?: number) =>
  records(stdout).find((one) => one.record === "stopped" && one.sender === sender);

test("three senders at a time get a number and a file each, and a fourth is refused without --keep", async () => {
  using temp = new TempDir();
  const words = ["--senders", "3", "--verify", "--stats", "0", "-o", temp.file("cam-%n.raw")];
  await using receiver = await listening(words);
  await using three = new AsyncDisposableStack();
  const senders: Tool[] = [];
  for (let number = 1; number <= 3; number++) {
    senders.push(three.use(await live(receiver.port)));
    await receiver.says(`sender ${number}: 127.0.0.1:`);
  }
  const fourth = await send(receiver.port, 1);
  expect(fourth.status).toBe(1);
  expect(fourth.stderr).toContain(
    "the receiver refused the stream: it serves 3 senders, and no more",
  );
  await Promise.all(senders.map(stop));
  const { status, stderr } = await receiver.ended();
  expect(status).toBe(0);
  let all = 0;
  for (let number = 1; number <= 3; number++) {
    const [, frames = ""] =
      new RegExp(`receiver: sender ${number}: done: (\\d+) frames?, `).exec(stderr) ?? [];
    all += Number(frames);
    expect(stderr).toContain(`receiver: sender ${number}: verified ${frames} frame`);
    expect(statSync(temp.file(`cam-${number}.raw`)).size).toBe(Number(frames) * PICTURE);
  }
  expect(all).toBeGreaterThan(0);
  expect(stderr).toContain(`receiver: done: 3 senders, ${all} frames, `);
});

test("senders that are wrong, silent or gone cost the others nothing", async () => {
  using temp = new TempDir();
  const words = ["--senders", "5", "--keep", "--verify", "--json", "--stall-timeout", "1"];
  await using receiver = await listening([...words, "-o", temp.file("cam-%n.raw")]);
  const good = await Tool.start("sender", [...toLoopback(receiver.port), ...small, "-r", "60"]);
  await using _good = good;
  await receiver.says("sender 1: 127.0.0.1:");
  const at = { host: "127.0.0.1", port: Number(receiver.port) };
  using wrong = await RawSender.to(at);
  using silent = await RawSender.to(at);
  using torn = await RawSender.to(at);
  using unstamped = await RawSender.to(at);
  await wrong.send(helloBytes({ magic: 1 }));
  await silent.send(helloBytes().subarray(0, 10));
  const hello = helloBytes({ pixelformat: GREY });
  await torn.send(new Uint8Array([...hello, ...frameBytes(0, PICTURE), 1, 2, 3]));
  torn.end();
  await unstamped.send(
    new Uint8Array([...hello, ...frameBytes(0, PICTURE), ...new Uint8Array(PICTURE)]),
  );
  await Promise.all([wrong.closed, silent.closed, torn.closed, unstamped.closed]);
  await receiver.says("silent for 1 s after 10 of the 28 bytes of a hello");
  receiver.signal("SIGTERM");
  const { status, stdout, stderr } = await receiver.ended();
  expect(status).toBe(130);
  expect(stderr).toContain("hello: magic is 0x00000001");
  expect(stderr).toContain("closed after 3 of the 3072 bytes of a payload");
  expect(stderr).toContain("--verify: frame 1, sequence 0, is all zero");
  const failures = records(stdout).filter(({ record }) => record === "failure");
  // A number that is free again may be given to the next one.
  expect(failures.length).toBe(4);
  expect(failures.map(({ sender }) => sender)).not.toContain(1);
  const first = stoppedOf(stdout, 1);
  expect(first).toMatchObject({ reason: "stopped", errors: 0 });
  expect(first?.verified).toBe(first?.frames);
  expect(Number(first?.frames)).toBeGreaterThan(30);
  expect(stoppedOf(stdout)).toMatchObject({ errors: 4 });
});

test("with --keep one more sender waits for a number; senders of one address never share or empty a file", async () => {
  using temp = new TempDir();
  const words = ["--senders", "2", "--keep", "-o", temp.file("%a.raw"), "--json"];
  await using receiver = await listening(words);
  await using held = await Tool.start("sender", [...toLoopback(receiver.port), ...small]);
  await receiver.says("sender 1: ");
  const second = send(receiver.port, 20, ["-r", "20"]);
  await receiver.says("sender 2: ");
  const third = await send(receiver.port, 7); // has the number of the second one, when that has left
  expect([(await second).status, third.status]).toEqual([0, 0]);
  await receiver.says("sender 2: 127.0.0.1:", 4); // sends, has gone, sends, has gone
  held.signal("SIGTERM");
  await held.ended();
  await receiver.says("has gone", 3);
  // Two have left: nothing says which one comes again.
  expect((await send(receiver.port, 3)).status).toBe(0);
  await receiver.says("has gone", 4);
  receiver.signal("SIGTERM");
  const { stdout } = await receiver.ended();
  const frames = Number(stoppedOf(stdout, 1)?.frames) - 3;
  const sizes = ["", "-2", "-3"].map(
    (n) => statSync(temp.file(`127.0.0.1${n}.raw`)).size / PICTURE,
  );
  expect(sizes).toEqual([frames, 27, 3]);
});

test("a sender whose reader does not read, and one whose disk is full, leave the others alone", async () => {
  using temp = new TempDir();
  const [, film = "", pipe] = await makePipes(temp.path, 3);
  rmSync(film);
  symlinkSync("/dev/full", temp.file("pipe3"));
  const words = ["--senders", "3", "--verify", "--json", "-o", temp.file("pipe%n")];
  await using receiver = await listening(words);
  const pace = ["-r", "60"];
  const first = send(receiver.port, 120, pace);
  await receiver.says("sender 1: ");
  const waits = Bun.spawn(["sh", "-c", `exec sleep 30 <${pipe}`]);
  await using stuck = await Tool.start("sender", [...toLoopback(receiver.port), ...small, ...pace]);
  await receiver.says("sender 2: ");
  const third = send(receiver.port, 120, pace);
  await receiver.says("sender 3: ");
  expect((await third).stderr).toContain("the receiver refused the stream: it has failed");
  expect((await first).status).toBe(0);
  waits.kill();
  stuck.signal("SIGTERM");
  const { status, stdout, stderr } = await receiver.ended();
  expect(status).toBe(1);
  expect(stderr).toMatch(/sender 3: write \S+: ENOSPC .*; the other senders go on\n/);
  expect(stoppedOf(stdout, 1)).toMatchObject({ reason: "done", frames: 120, verified: 120 });
  expect(stoppedOf(stdout, 3)).toMatchObject({ reason: "failed" });
});

test("-n counts for each sender, and with --keep the receiver ends when each number had as many", async () => {
  await using receiver = await listening(["--senders", "2", "--keep", "-n", "10", "--json"]);
  for (let i = 0; i < 3; i++) await send(receiver.port, i < 2 ? 6 : 20);
  await send(receiver.port, 20);
  const { status, stdout } = await receiver.ended();
  expect(status).toBe(0);
  expect([stoppedOf(stdout, 1)?.frames, stoppedOf(stdout, 2)?.frames]).toEqual([10, 10]);
});

test("figures of --metrics and lines of statistics name the sender", async () => {
  const page = freePort();
  const words = ["--senders", "2", "--stats", "0.5", "--metrics", page];
  await using receiver = await listening(words);
  await using one = await live(receiver.port);
  await using two = await live(receiver.port);
  for (const sender of [1, 2]) await receiver.says(`sender ${sender}: `, 2);
  const text = await (await fetch(`http://127.0.0.1:${page}/metrics`)).text();
  for (const sender of [1, 2])
    expect(text).toMatch(new RegExp(`^framepass_streaming\\{sender="${sender}"\\} 1$`, "m"));
  await Promise.all([one, two].map(stop));
  const { status, lines } = await receiver.ended();
  expect(status).toBe(0);
  for (const sender of [1, 2])
    expect(
      lines.filter((line) => line.includes(`sender ${sender}: `) && line.includes(" fps,")),
    ).not.toEqual([]);
});

test("receiver_zc reads the buffers of three senders at a time, and one that lies costs the others nothing", async () => {
  using temp = new TempDir();
  const address = `unix:${temp.file("socket")}`;
  const words = ["-l", address, "--share", "fd", "--senders", "3", "--verify", "--json"];
  await using receiver = await Tool.start("receiver_zc", [...words, "-o", temp.file("cam-%n.raw")]);
  await receiver.says("listening on");
  using wrong = await RawSender.to({ path: temp.file("socket") });
  await wrong.send(helloBytes({ version: 7 }));
  await receiver.says("the other senders go on");
  const lend = (frames: number) =>
    run("sender_zc", ["-d", "testsrc", "-a", address, ...small, "-r", "60", "-n", `${frames}`]);
  const ends = await Promise.all([lend(60), lend(60)]);
  expect(ends.map(({ status }) => status)).toEqual([0, 0]);
  const { status, stdout } = await receiver.ended();
  expect(status).toBe(1); // of the wrong one
  expect(existsSync(temp.file("cam-1.raw"))).toBe(false);
  for (const sender of [2, 3]) {
    expect(stoppedOf(stdout, sender)).toMatchObject({ frames: 60, verified: 60, errors: 0 });
    expect(readFileSync(temp.file(`cam-${sender}.raw`)).length).toBe(60 * PICTURE);
  }
});

test("names that do not tell the senders apart are refused before anything is opened", async () => {
  using temp = new TempDir();
  const rows: [words: string[], status: number, text: string][] = [
    [["-o", "film.y4m"], 2, "--output film.y4m: 3 senders need an output each; put %n (number)"],
    [["-o", "-"], 2, "--output -: 3 senders need an output each"],
    [["-o", "cam-%d"], 2, '"cam-%d": %d has no meaning'],
    [["-o", "%n", "-o", "%n"], 2, "--output 1 is given twice"],
    [["--camera", "A", "--camera", "B"], 2, "3 senders need 3, got 2"],
    [["--camera", "A %a"], 2, "cameras are made before a sender's address is known; use %n"],
    [["--on-demand", "-o", "%n"], 2, "--on-demand is for one sender"],
    [["-o", temp.file("no/%n")], 3, `open ${temp.file("no/1")}: ENOENT`],
    [["-o", "%n.mp4"], 2, "not as .mp4"],
  ];
  const one = async ([words, wanted, text]: (typeof rows)[number]) => {
    const at = ["-l", `unix:${temp.file(`socket${rows.findIndex(([own]) => own === words)}`)}`];
    const { status, stderr } = await run("receiver", [...at, "--senders", "3", ...words]);
    expect(stderr).toContain(text);
    expect({ words, status }).toEqual({ words, status: wanted });
  };
  await Promise.all(rows.map(one));
  const region = ["-p", "5000", "--senders", "2", "--region", "/dev/dax0.0"];
  expect((await run("receiver_zc", region)).stderr).toContain("--region is for one sender");
  const { stderr } = await run("receiver_sdl", ["--senders", "2", "-p", "5000"]);
  expect(stderr).toContain('unknown option "--senders"');
});
