// Frames from one executable to the other, and to files, pipes and records: what arrives must equal what was painted.
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { Fd, O_NONBLOCK, O_RDONLY, O_WRONLY } from "../../ffi/fd.ts";
import { fourcc } from "../../src/format/formats.ts";
import { painted, same, type Wish, wishWords } from "../support/painted.ts";
import { frameBytes, helloBytes, RawReceiver, RawSender } from "../support/peer.ts";
import {
  dist,
  freePort,
  listening,
  records,
  run,
  TempDir,
  Tool,
  toLoopback,
  within,
} from "../support/tool.ts";
import { until } from "../support/until.ts";

const to = (port: string) => ["-a", "127.0.0.1", "-p", port];
const join = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
const small: Wish = { width: 64, height: 48, format: "YU12" };

/** Sends `count` pictures into a file and answers the receiver's stderr. */
async function intoFile(wish: Wish, count: number, file: string, words: string[] = []) {
  await using receiver = await listening(["-o", file, "--verify", ...words]);
  const sent = await run("sender", [...wishWords(wish), "-n", String(count), ...to(receiver.port)]);
  const { status, stderr } = await receiver.ended();
  expect({ file, sent: sent.status, received: status }).toEqual({ file, sent: 0, received: 0 });
  return stderr;
}

test("a raw file holds exactly the pictures that were painted, whatever format and size", async () => {
  using temp = new TempDir();
  const wishes: Wish[] = [
    { width: 640, height: 480, format: "YUYV" },
    { width: 322, height: 242, format: "NV12", device: "testsrc:gradient" },
    { width: 33, height: 17, format: "RGB3" },
    { width: 64, height: 48, format: "GREY", device: "testsrc:bars" },
  ];
  const one = async (wish: Wish) => {
    const file = temp.file(wish.format);
    const stderr = await intoFile(wish, 12, file);
    expect(same(readFileSync(file), painted(wish, 12)), wish.format).toBe(true);
    const size = `-video_size ${wish.width}x${wish.height} `;
    expect(stderr).toMatch(
      new RegExp(`play it: ffplay -f rawvideo -pixel_format \\w+ ${size}.*${file}`),
    );
  };
  await Promise.all(wishes.map(one));
});

test("a .y4m file has a header with size and real rate, and each picture behind its mark", async () => {
  using temp = new TempDir();
  const file = temp.file("film.y4m");
  const record = async (...rate: string[]) => {
    await using receiver = await listening(["-o", file, "--verify"]);
    await run("sender", [
      ...wishWords(small).slice(0, -2),
      ...rate,
      "-n",
      "60",
      ...to(receiver.port),
    ]);
    const { status, stderr } = await receiver.ended();
    expect(status).toBe(0);
    expect(stderr).toContain(`play it: ffplay ${file}`);
    const bytes = readFileSync(file);
    const header = bytes.subarray(0, bytes.indexOf(10)).toString();
    const match = /^YUV4MPEG2 W64 H48 F(\d+):(\d+) Ip A1:1 C420jpeg$/.exec(header);
    expect(match).not.toBeNull();
    return { bytes, header, rate: Number(match?.[1]), scale: match?.[2] };
  };
  const { rate, scale } = await record("-r", "50");
  expect(scale).toBe("1000");
  expect(rate).toBeWithin(30_001, 60_000); // about 50, less exact on a busy machine; 30 is what the file has at the start
  const { bytes, header } = await record("-r", "0"); // so that it drops nothing
  const expected = painted(small, 60);
  const size = (64 * 48 * 3) / 2;
  expect(bytes.length).toBe(header.length + 1 + 60 * (6 + size));
  for (let n = 0; n < 60; n++) {
    const at = header.length + 1 + n * (6 + size);
    expect(bytes.subarray(at, at + 6).toString()).toBe("FRAME\n");
    const picture = bytes.subarray(at + 6, at + 6 + size);
    expect(same(picture, expected.subarray(n * size, (n + 1) * size))).toBe(true);
  }
  // The recording can be sent as well, repeatedly.
  const again = temp.file("again");
  await using second = await listening(["-o", again]);
  const sent = await run("sender", ["-d", file, "-r", "0", "-n", "65", ...to(second.port)]);
  expect(sent.stderr).toContain("64x48 YU12");
  expect((await second.ended()).status).toBe(0);
  expect(same(readFileSync(again), join(expected, expected.subarray(0, 5 * size)))).toBe(true);
});

test("a .y4m file holds whole pictures only: padding is left off, short frames are left out", async () => {
  using temp = new TempDir();
  const file = temp.file("film.y4m");
  await using receiver = await listening(["-o", file]);
  const size = (64 * 48 * 3) / 2;
  using peer = await RawSender.to({ host: "127.0.0.1", port: Number(receiver.port) });
  const hello = helloBytes({ pixelformat: fourcc("YU12"), sizeimage: 8192 });
  const padded = new Uint8Array(8192).fill(1, 0, size);
  await peer.send(join(hello, frameBytes(0, 8192), padded));
  await peer.send(join(frameBytes(1, 100), padded.subarray(0, 100), frameBytes(2, 8192), padded));
  peer.end();
  const { status, stderr } = await receiver.ended();
  expect(status).toBe(0);
  expect(stderr).toContain(`a frame of 100 bytes is left out, a picture has ${size}`);
  const bytes = readFileSync(file);
  const start = bytes.indexOf(10) + 1;
  const frame = join(Buffer.from("FRAME\n"), new Uint8Array(size).fill(1));
  expect(same(bytes.subarray(start), join(frame, frame))).toBe(true);
});

test("a format without a YUV4MPEG2 form is written raw, and that is said", async () => {
  using temp = new TempDir();
  const file = temp.file("film.y4m");
  const wish: Wish = { width: 64, height: 48, format: "RGB3" };
  const stderr = await intoFile(wish, 3, file);
  expect(stderr).toContain("warn: RGB3 has no YUV4MPEG2 form");
  expect(stderr).toContain("play it: ffplay -f rawvideo -pixel_format rgb24");
  expect(same(readFileSync(file), painted(wish, 3))).toBe(true);
});

test("a raw recording is sent over and over, with --once it is sent once", async () => {
  using temp = new TempDir();
  const pictures = painted(small, 3);
  writeFileSync(temp.file("raw"), pictures);
  await using receiver = await listening(["-o", temp.file("copy")]);
  const words = wishWords({ ...small, device: temp.file("raw") });
  const sent = await run("sender", [...words, "-n", "7", "-b", "2", ...to(receiver.port)]);
  expect(sent.stderr).toContain("2 memfd buffers");
  expect((await receiver.ended()).status).toBe(0);
  const expected = join(pictures, pictures, pictures.subarray(0, pictures.length / 3));
  expect(same(readFileSync(temp.file("copy")), expected)).toBe(true);
  await using second = await listening(["-o", temp.file("one")]);
  const once = await run("sender", [...words, "--once", ...to(second.port)]);
  expect({ status: once.status, last: once.lines.at(-1) }).toEqual({
    status: 0,
    last: expect.stringContaining("done: 3 frames"),
  });
  expect((await second.ended()).status).toBe(0);
  expect(same(readFileSync(temp.file("one")), pictures)).toBe(true);
});

test("the default format makes a .y4m with 4:2:2 planes, and the sender plays it as YUYV", async () => {
  using temp = new TempDir();
  const file = temp.file("FILM.Y4M");
  const wish: Wish = { width: 64, height: 48, format: "YUYV" };
  expect(await intoFile(wish, 4, file)).toContain(`play it: ffplay ${file}`);
  const bytes = readFileSync(file);
  expect(bytes.subarray(0, bytes.indexOf(10)).toString()).toEndWith(" C422");
  const back = temp.file("back");
  await using receiver = await listening(["-o", back]);
  expect(
    (await run("sender", ["-d", file, "-r", "0", "--once", ...to(receiver.port)])).status,
  ).toBe(0);
  expect((await receiver.ended()).status).toBe(0);
  expect(same(readFileSync(back), painted(wish, 4))).toBe(true);
});

test("a recording comes through stdin, a named pipe or a redirected file", async () => {
  using temp = new TempDir();
  const pictures = painted(small, 3);
  const size = pictures.length / 3;
  const film = [0, 1, 2].flatMap((n) => [
    Buffer.from("FRAME\n"),
    pictures.subarray(n * size, (n + 1) * size),
  ]);
  writeFileSync(temp.file("film"), join(Buffer.from("YUV4MPEG2 W64 H48 F200:1\n"), ...film));
  writeFileSync(temp.file("raw"), pictures);
  Bun.spawnSync(["mkfifo", temp.file("pipe")]);
  const size3 = "-W 64 -H 48 -f YU12 -r 0";
  for (const [name, line] of [
    ["a pipe", `cat film | "$0" "$@" -d -`],
    ["/dev/stdin", `cat film | "$0" "$@" -d /dev/stdin`],
    ["raw pictures", `cat raw | "$0" "$@" -d - ${size3}`],
    ["a named pipe", `cat film > pipe & "$0" "$@" -d pipe`],
    ["a file", `"$0" "$@" -d - --once -r 0 < film`], // at a rate it drops what is late
  ] as const) {
    await using receiver = await listening(["-o", temp.file("copy")]);
    const under = ["sh", "-c", line];
    const sent = await run("sender", to(receiver.port), { under, cwd: temp.path });
    expect({ name, status: sent.status, last: sent.lines.at(-1) }).toEqual({
      name,
      status: 0,
      last: expect.stringContaining("done: 3 frames"),
    });
    expect((await receiver.ended()).status).toBe(0);
    expect(same(readFileSync(temp.file("copy")), pictures), name).toBe(true);
  }
});

test("a pipe that ends early, and a stdin that is no recording, are one line", async () => {
  for (const [line, status, says] of [
    [`printf "" | "$0" "$@"`, 3, "stdin: it ended before the first picture"],
    [`"$0" "$@" < /dev/null`, 3, "stdin is neither a pipe nor a file"],
    [`printf 'YUV4MPEG2 W9 H9 C444\n' | "$0" "$@"`, 3, "colour space C444"],
    [
      `printf 'YUV4MPEG2 W9 H9\n' | "$0" "$@" -W 8`,
      2,
      "stdin has 9x9 YU12 pictures, --width says 8",
    ],
  ] as const) {
    const under = ["sh", "-c", line];
    const ended = await run("sender", ["-d", "-", ...to("9")], { under });
    expect({ line, status: ended.status, lines: ended.lines.length }).toEqual({
      line,
      status,
      lines: 1,
    });
    expect(ended.lines[0]).toContain(says);
  }
});

test("frames go to a pipe at the pace of its reader, whole", async () => {
  using temp = new TempDir();
  const wish: Wish = { width: 320, height: 240, format: "YUYV" };
  const port = freePort();
  const slow = ["sh", "-c", `"$0" "$@" | { sleep 0.4; cat > '${temp.file("out")}'; }`];
  await using receiver = await Tool.start("receiver", ["-p", port, "-o", "-"], { under: slow });
  await receiver.says("listening on");
  const sent = await run("sender", [...wishWords(wish), "-n", "30", ...to(port)]);
  expect(sent.status).toBe(0);
  const { stderr } = await receiver.ended();
  expect(stderr).toContain("done: 30 frames");
  expect(same(readFileSync(temp.file("out")), painted(wish, 30))).toBe(true);
});

test("a reader that goes away, a closed player, ends the receiver with one line and exit status 0", async () => {
  using temp = new TempDir();
  Bun.spawnSync(["mkfifo", temp.file("pipe")]);
  using reader = Fd.open(temp.file("pipe"), O_RDONLY | O_NONBLOCK);
  using writer = Fd.open(temp.file("pipe"), O_WRONLY);
  await using receiver = await listening(["-o", "-"], { stdout: writer.number });
  await using _sender = await Tool.start("sender", toLoopback(receiver.port));
  await receiver.says("sends 640x480");
  await Bun.sleep(50);
  reader[Symbol.dispose]();
  const { status, lines } = await receiver.ended();
  expect(status).toBe(0);
  expect(lines.filter((line) => line.includes("has ended"))).toHaveLength(1);
  expect(lines.join("\n")).not.toContain("error: ");
  expect(lines.at(-1)).toMatch(
    /^receiver: stdout: the program that read it has ended; \d+ of the 614400 bytes of frame 1 are missing, 0 whole/,
  );
});

test("the records of both sides are JSON, one a line, and add up", async () => {
  await using receiver = await listening(["--json", "--stats", "0.1"]);
  const words = [...toLoopback(receiver.port), "--json", "--stats", "0.1", "-r", "50", "-n", "30"];
  const sent = await run("sender", [...words, "-W", "64", "-H", "48"]);
  const received = await receiver.ended();
  expect(sent.status).toBe(0);
  expect(received.status).toBe(0);
  expect(records(received.stdout)[0]).toEqual({
    record: "listening",
    address: `127.0.0.1:${receiver.port}`,
  });
  for (const { stdout } of [sent, received]) {
    const all = records(stdout).filter(({ record }) => record !== "listening");
    const kinds = all.map(({ record }) => record);
    expect(kinds[0]).toBe("started");
    expect(kinds.at(-1)).toBe("stopped");
    expect(kinds.slice(1, -1)).toEqual(kinds.slice(1, -1).map(() => "stats"));
    expect(kinds.length).toBeGreaterThan(4);
    expect(all[0]).toMatchObject({
      width: 64,
      height: 48,
      format: "YUYV",
      sizeimage: 6144,
      buffers: 4,
    });
    const counts = all.slice(1).map(({ frames }) => Number(frames));
    expect(counts).toEqual([...counts].sort((a, b) => a - b));
    for (const { frames, bytes } of all.slice(1)) expect(bytes).toBe(Number(frames) * 6144);
    expect(all.at(-1)).toMatchObject({ reason: "done", frames: 30, errors: 0, short: 0 });
    expect(Number(all.at(-1)?.fps)).toBeWithin(20, 80);
  }
  const { drops } = records(sent.stdout).at(-1) ?? {};
  expect(records(received.stdout).at(-1)?.drops).toBe(drops);
  const last = records(received.stdout).at(-1);
  expect(Number(last?.latency_p50_ms)).toBeWithin(0, 1000);
  expect(Number(last?.latency_max_ms)).toBeGreaterThanOrEqual(
    Number(last?.latency_p50_ms) / 1.02 - 0.001,
  );
});

test("--stats 0 says nothing but the summary; an interval says one line a time while frames come", async () => {
  await using receiver = await listening(["--stats", "0.1"]);
  await Bun.sleep(250); // no statistics without a connection
  expect(receiver.stderr).not.toContain(" fps");
  const words = [...toLoopback(receiver.port), "--stats", "0", "-r", "50", "-n", "30"];
  const sent = await run("sender", words);
  expect(sent.stderr.match(/ fps/g)).toHaveLength(2); // the source's rate and the summary
  const { stderr } = await receiver.ended();
  expect(stderr.match(/\d+ frames?, [\d.]+ fps, [\d.]+ MB\/s, \d+ dropped/g)?.length).toBeWithin(
    3,
    99,
  );
});

test.skipIf(Bun.which("script") === null)(
  "on a terminal one line is redrawn, with a bar for -n, and the summary stands alone",
  async () => {
    using temp = new TempDir();
    const port = freePort();
    const words = [`${dist}/receiver`, "-p", port, "-n", "30", "--stats", "0.2"].join(" ");
    const terminal = Bun.spawn(["script", "-qec", words, temp.file("log")], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
    });
    const sent = await run("sender", [...toLoopback(port), "-r", "40", "-n", "30", "--reconnect"]);
    expect(sent.status).toBe(0);
    expect(await within(terminal.exited, "the end of the terminal")).toBe(0);
    const log = readFileSync(temp.file("log"), "utf8");
    const redraw = `\r${String.fromCharCode(27)}[J`;
    const drawn = log.split(redraw).slice(1);
    expect(drawn.length).toBeGreaterThan(1);
    for (const line of drawn.slice(0, -1))
      expect(line).toMatch(/^\[#*\.*\] \d+\/30 \d+ %, (\d+ s left, )?\d/);
    expect(drawn.at(-1)).toStartWith("receiver: done: 30 frames, ");
    expect(log.split("\n").filter((line) => line.includes("done: "))).toHaveLength(1);
  },
);

test("records that cannot be written end the tool with one line and exit status 1", async () => {
  using full = Fd.open("/dev/full", O_WRONLY);
  const { status, lines } = await run("sender", [...toLoopback(freePort()), "--json"], {
    stdout: full.number,
  });
  expect(status).toBe(1);
  expect(lines.at(-1)).toBe("sender: error: write stdout: ENOSPC (no space left on device)");
});

test("-n ends the receiver after so many frames, and its sender hears of it", async () => {
  using temp = new TempDir();
  const wish: Wish = { width: 64, height: 48, format: "YUYV" };
  await using receiver = await listening(["-n", "5", "-o", temp.file("raw")]);
  const sent = await run("sender", [...wishWords(wish), ...to(receiver.port)]);
  expect(sent.status).toBe(1);
  expect(sent.lines.at(-1)).toMatch(
    /receiver closed the connection|(EPIPE|ECONNRESET).*; the receiver has gone; --reconnect/,
  );
  expect((await receiver.ended()).status).toBe(0);
  expect(same(readFileSync(temp.file("raw")), painted(wish, 5))).toBe(true);
});

test("--latest passes over what waited while the receiver was slow; without it all that waits is sent", async () => {
  using temp = new TempDir();
  await using owned = new AsyncDisposableStack();
  const one = async (name: string, words: string[]) => {
    const path = temp.file(name); // a Unix socket holds no whole picture
    const receiver = owned.use(await RawReceiver.listen(false, path));
    const picture = ["-d", "testsrc", "-r", "60", "-b", "32", "--json", "--stats", "0"];
    const sender = owned.use(
      await Tool.start("sender", ["-a", `unix:${path}`, ...picture, ...words]),
    );
    const arrived = (count: number) =>
      until(`${count} frames`, 8000, () => (receiver.frames.length >= count ? true : undefined));
    await arrived(5);
    return { receiver, sender, arrived };
  };
  const both = await Promise.all([one("all", []), one("latest", ["--latest"])]);
  for (const { receiver } of both) receiver.pause();
  await Bun.sleep(900);
  const missing = both.map(async ({ receiver, sender, arrived }) => {
    const paused = receiver.frames.length;
    receiver.resume();
    await arrived(paused + 20);
    sender.signal("SIGINT");
    const { frames } = records((await sender.ended()).stdout).at(-1) ?? {};
    await within(receiver.ended.promise, "the end");
    const numbers = receiver.frames.map(({ sequence }) => sequence);
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
    expect(numbers.length).toBe(Number(frames));
    return Math.max(...numbers.map((number, i) => number - (numbers[i - 1] ?? number))) - 1;
  });
  const [all = 0, latest = 0] = await Promise.all(missing); // by the pause
  expect(latest).toBeGreaterThanOrEqual(all + 8);
});

test("--reconnect streams again within 2 s to a receiver that was killed and started again", async () => {
  const port = freePort();
  const listen = ["-l", "127.0.0.1", "-p", port, "--verify"];
  await using first = await Tool.start("receiver", listen);
  await first.says("listening on");
  await using sender = await Tool.start("sender", [...toLoopback(port), "--reconnect"]);
  await first.says("sends 640x480");
  first.signal("SIGKILL");
  await sender.says("trying again in");
  await using second = await Tool.start("receiver", [...listen, "-n", "10"]);
  await second.says("listening on");
  const fromMs = performance.now();
  await second.says("sends 640x480");
  expect(performance.now() - fromMs).toBeLessThan(2000);
  const { status, stderr } = await second.ended();
  expect(status).toBe(0);
  expect(stderr).toContain("verified 10 frames");
});

test("--keep serves the next sender when one was killed in the middle of a frame", async () => {
  await using receiver = await listening(["--keep", "--verify", "--stats", "0"]);
  const large = ["-W", "1920", "-H", "1080", "-r", "0"];
  await using killed = await Tool.start("sender", [...toLoopback(receiver.port), ...large]);
  await receiver.says("sends 1920x1080");
  await Bun.sleep(50);
  killed.signal("SIGKILL");
  await killed.ended();
  const next = await run("sender", [...toLoopback(receiver.port), "-n", "5"]);
  expect(next.status).toBe(0);
  await receiver.says("has gone");
  receiver.signal("SIGINT");
  const { status, stderr } = await receiver.ended();
  expect(status).toBe(130);
  expect(stderr).toMatch(/verified \d+ frames/);
});

test("a receiver takes a stream in the pieces a C program or a slow network makes of it", async () => {
  using temp = new TempDir();
  const wish: Wish = { width: 64, height: 48, format: "GREY" };
  const pictures = painted(wish, 6);
  await using receiver = await listening(["-o", temp.file("raw"), "--verify"]);
  using peer = await RawSender.to({ host: "127.0.0.1", port: Number(receiver.port) });
  await peer.send(helloBytes());
  for (let n = 0; n < 3; n++) {
    await peer.send(frameBytes(n, 3072)); // two sends for each frame
    await peer.send(pictures.subarray(n * 3072, (n + 1) * 3072));
  }
  for (let n = 3; n < 6; n++) {
    const frame = join(frameBytes(n, 3072), pictures.subarray(n * 3072, (n + 1) * 3072));
    for (let at = 0; at < frame.length; at += 61) await peer.send(frame.subarray(at, at + 61));
  }
  peer.end();
  expect((await receiver.ended()).status).toBe(0);
  expect(same(readFileSync(temp.file("raw")), pictures)).toBe(true);
});

test("what a sender sends is the protocol byte for byte: hello, then header and picture", async () => {
  using receiver = await RawReceiver.listen();
  const wish: Wish = { width: 64, height: 48, format: "GREY" };
  const words = [...wishWords(wish), "-n", "6", "-b", "3", ...to(receiver.port)];
  expect((await run("sender", words)).status).toBe(0);
  await within(receiver.ended.promise, "the end of the stream");
  expect(receiver.hello).toEqual(helloBytes({ bufferCount: 3 }));
  expect(receiver.frames.map(({ sequence }) => sequence)).toEqual([0, 1, 2, 3, 4, 5]);
  expect(receiver.rest).toBe(0);
  for (const { index } of receiver.frames) expect(index).toBeWithin(0, 3);
  const bytes = join(...receiver.frames.map((frame) => frame.bytes));
  expect(same(bytes, painted(wish, 6))).toBe(true);
});

test("one short frame of many does not shift the later ones; the summary and the record count it", async () => {
  using temp = new TempDir();
  await using receiver = await listening(["-o", temp.file("raw"), "--json"]);
  using peer = await RawSender.to({ host: "127.0.0.1", port: Number(receiver.port) });
  const size = 64 * 48 * 2;
  await peer.send(helloBytes({ pixelformat: fourcc("YUYV"), sizeimage: size }));
  for (const [i, bytes] of [size, 4300, size, size].entries())
    await peer.send(join(frameBytes(i, bytes), new Uint8Array(bytes).fill(i + 1)));
  peer.end();
  const { status, stdout, stderr } = await receiver.ended();
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.any(String) });
  expect(stderr).toContain("a frame of 4300 bytes is left out, a picture has 6144");
  expect(records(stdout).at(-1)).toMatchObject({ frames: 4, short: 1, left_out: 1 });
  const expected = [1, 3, 4].map((value) => new Uint8Array(size).fill(value));
  expect(same(readFileSync(temp.file("raw")), join(...expected))).toBe(true);
});
