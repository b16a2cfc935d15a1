// --metrics of the executables: figures that are those of the summary, pictures that are those of the stream, and clean ends.
import { expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { decode } from "fast-png";
import { unixAddress } from "../../ffi/sockaddr.ts";
import { startConnect } from "../../ffi/socket.ts";
import { displayNeeds } from "../../scripts/display-needs.ts";
import { ensureDebian } from "../../scripts/ensure.ts";
import { Canvas } from "../../src/format/canvas.ts";
import { pixelFormatNamed } from "../../src/format/formats.ts";
import { pictureBytes } from "../../src/format/picture-layout.ts";
import { type Family, readExposition, valueIn } from "../support/exposition.ts";
import { painted, type Wish } from "../support/painted.ts";
import { built, dist, freePort, records, run, TempDir, Tool } from "../support/tool.ts";
import { until } from "../support/until.ts";
import { FrontEnd } from "../support/vhost/front-end.ts";
import { onLoop } from "../support/vhost/scene.ts";

const LIMIT_MS = 30_000;

/** The figures of a tool, at an address or a Unix socket. */
async function figures(at: string): Promise<Map<string, Family>> {
  const answer = await ask(at, "/metrics");
  expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  return readExposition(await answer.text());
}

const ask = (at: string, path: string) =>
  at.startsWith("/")
    ? fetch(`http://localhost${path}`, { unix: at })
    : fetch(`http://127.0.0.1:${at}${path}`);

const value = async (at: string, name: string, labels: Record<string, string> = {}) =>
  valueIn(await figures(at), name, labels);

/** The record of the summary, under the names of the figures. */
function summaryOf(stdout: string, cause: string) {
  const { frames, bytes, drops, errors, short } = records(stdout).at(-1) ?? {};
  return {
    framepass_frames_total: frames,
    framepass_frame_bytes_total: bytes,
    framepass_frames_damaged_total: errors,
    framepass_frames_short_total: short,
    [`dropped: ${cause}`]: drops,
  };
}

async function shownOf(at: string, cause: string) {
  const families = await figures(at);
  const names = ["frames", "frame_bytes", "frames_damaged", "frames_short"];
  const entries = names.map((name) => {
    const metric = `framepass_${name}_total`;
    return [metric, valueIn(families, metric)];
  });
  const dropped = valueIn(families, "framepass_frames_dropped_total", { cause });
  return { ...Object.fromEntries(entries), [`dropped: ${cause}`]: dropped };
}

const pairs = [
  { from: "sender", to: "receiver", words: [] },
  { from: "sender_zc", to: "receiver_zc", words: [] },
] as const;

test.each(pairs)(
  "$from and $to: when the stream has ended, the figures of both are those of their summaries",
  async ({ from, to }) => {
    using temp = new TempDir();
    const [near, far, stream] = ["a", "b", "c"].map((name) => temp.file(name));
    if (near === undefined || far === undefined || stream === undefined) throw new Error();
    const at = `unix:${stream}`;
    const receiving = ["-l", at, "--keep", "--json", "--stats", "0", "--metrics", `unix:${far}`];
    await using receiver = await Tool.start(to, receiving);
    await receiver.says("listening on");
    const sending = ["-d", "testsrc", "-W", "64", "-H", "48", "-r", "50", "-a", at];
    const reports = ["--reconnect", "--json", "--stats", "0", "--metrics", `unix:${near}`];
    await using sender = await Tool.start(from, [...sending, ...reports]);
    await receiver.says(" sends ");
    // A second stream, so that there is a reconnect.
    await until("frames", LIMIT_MS, async () => {
      const frames = await value(near, "framepass_frames_total");
      return frames !== undefined && frames > 20 ? frames : undefined;
    });
    receiver.signal("SIGTERM");
    const ended = await receiver.ended();
    expect(existsSync(far)).toBe(false);
    await until("the end of the stream", LIMIT_MS, async () =>
      (await value(near, "framepass_streaming")) === 0 ? true : undefined,
    );
    expect(await value(near, "framepass_connections_total")).toBe(1);
    await using second = await Tool.start(to, receiving);
    await until("a reconnect", LIMIT_MS, async () =>
      (await value(near, "framepass_connections_total")) === 2 ? true : undefined,
    );
    expect(await value(near, "framepass_failures_total")).toBeGreaterThan(0);
    await until("frames", LIMIT_MS, async () =>
      ((await value(far, "framepass_frames_total")) ?? 0) > 20 ? true : undefined,
    );
    sender.signal("SIGTERM");
    const sent = await sender.ended();
    expect([ended.status, sent.status]).toEqual([130, 130]);
    await until("the end of the stream", LIMIT_MS, async () =>
      (await value(far, "framepass_streaming")) === 0 ? true : undefined,
    );
    const shown = await shownOf(far, "sequence");
    second.signal("SIGTERM");
    const { stdout, status } = await second.ended();
    expect(status).toBe(130);
    expect(shown).toEqual(summaryOf(stdout, "sequence"));
  },
);

test("a sender whose receiver has gone shows the figures of its summary, with the causes of its drops", async () => {
  using temp = new TempDir();
  const at = temp.file("metrics");
  const port = freePort();
  await using receiver = await Tool.start("receiver", ["-l", "127.0.0.1", "-p", port, "-n", "30"]);
  await receiver.says("listening on");
  const words = ["-d", "testsrc", "-W", "64", "-H", "48", "-a", `127.0.0.1:${port}`, "--reconnect"];
  const reports = ["--json", "--stats", "0", "--metrics", `unix:${at}`];
  await using sender = await Tool.start("sender", [...words, ...reports]);
  expect((await receiver.ended()).status).toBe(0);
  await until("the end of the stream", LIMIT_MS, async () =>
    (await value(at, "framepass_streaming")) === 0 ? true : undefined,
  );
  const families = await figures(at);
  const shown = await shownOf(at, "source");
  const causes = families.get("framepass_frames_dropped_total")?.samples ?? [];
  sender.signal("SIGTERM");
  const { stdout } = await sender.ended();
  const { drops, ...rest } = { drops: records(stdout).at(-1)?.drops, ...shown };
  const { "dropped: source": _one, ...wanted } = summaryOf(stdout, "source");
  expect(rest).toMatchObject(wanted);
  expect(causes.map(({ labels }) => labels.cause)).toEqual(["source", "passed"]);
  expect(causes.reduce((sum, sample) => sum + sample.value, 0)).toBe(Number(drops));
});

test("a sender with two receivers has figures for each, and sender_zc those of lent frames", async () => {
  using temp = new TempDir();
  const at = temp.file("metrics");
  const places = [`unix:${temp.file("a")}`, `unix:${temp.file("b")}`];
  await using tools = new AsyncDisposableStack();
  for (const place of places) {
    const receiver = tools.use(await Tool.start("receiver_zc", ["-l", place]));
    await receiver.says("listening on");
  }
  const words = ["-d", "testsrc", "-W", "64", "-H", "48", ...places.flatMap((one) => ["-a", one])];
  await using sender = await Tool.start("sender_zc", [...words, "--metrics", `unix:${at}`]);
  await sender.says("connected to", 2);
  for (const receiver of places) {
    await until(`returned frames of ${receiver}`, LIMIT_MS, async () => {
      const labels = { receiver, state: "returned" };
      return ((await value(at, "framepass_lent_frames_total", labels)) ?? 0) > 5 ? true : undefined;
    });
  }
  const families = await figures(at);
  const named = families.get("framepass_frames_total")?.samples.map(({ labels }) => labels);
  expect(named).toEqual(places.map((receiver) => ({ receiver })));
  const one = { receiver: places[0] ?? "" };
  expect(valueIn(families, "framepass_latency_seconds_count", one)).toBeGreaterThan(5);
  expect(valueIn(families, "framepass_build_info", { tool: "sender_zc" })).toBe(1);
});

const FRAMES = 400;
const wish: Wish = { width: 66, height: 48, format: "YUYV" };
const hidden = {
  env: { SDL_VIDEODRIVER: "dummy", DISPLAY: undefined, WAYLAND_DISPLAY: undefined },
};

test.each([
  ["sender", "receiver", "YUYV"],
  ["sender", "receiver_sdl", "NV12"],
  ["sender_zc", "receiver_zc", "RGB3"],
  ["sender_zc", "receiver_zc_sdl", "YUYV"],
] as const)(
  "%s, %s: the picture has the pixels of a frame that was sent, in %s",
  async (from, to, format) => {
    ensureDebian(displayNeeds);
    using temp = new TempDir();
    const [at, place] = [temp.file("metrics"), `unix:${temp.file("stream")}`];
    const words = ["-l", place, "--metrics", `unix:${at}`];
    await using receiver = await Tool.start(to, words, hidden);
    await receiver.says("listening on");
    expect((await ask(at, "/healthz")).status).toBe(200);
    const size = ["-W", `${wish.width}`, "-H", `${wish.height}`, "-f", format];
    const sending = ["-d", "testsrc", ...size, "-a", place, "-r", "20", "-n", `${FRAMES}`];
    await using _sender = await Tool.start(from, sending);
    await receiver.says(" sends ");
    const answer = await until("a picture", LIMIT_MS, async () => {
      const got = await ask(at, "/picture.png");
      return got.status === 200 ? got : undefined;
    });
    const png = decode(await answer.bytes());
    expect(position(png.data, { ...wish, format })).toBeGreaterThanOrEqual(0);
  },
);

/** The number of the painted picture that has exactly these pixels; -1 when none has. */
function position(pixels: ArrayLike<number>, one: Wish): number {
  const format = pixelFormatNamed(one.format);
  if (format === undefined) throw new Error(`no format ${one.format}`);
  const size = pictureBytes(format, one.width, one.height);
  const all = painted(one, FRAMES);
  for (let i = 0; i < FRAMES; i++) {
    const bytes = all.subarray(i * size, (i + 1) * size);
    const rgb = new Canvas(bytes, format, one.width, one.height).toRgb();
    if (Buffer.compare(Buffer.from(rgb), Buffer.from(Uint8Array.from(pixels))) === 0) return i;
  }
  return -1;
}

test("vhost-user-video counts its front-ends, whose requests other processes take", async () => {
  using temp = new TempDir();
  const [at, socket] = [temp.file("metrics"), temp.file("s")];
  const words = ["-b", "null", "-s", socket, "--metrics", `unix:${at}`];
  await using daemon = await Tool.start("vhost-user-video", words);
  await daemon.says("listening");
  await until("the figures", LIMIT_MS, async () =>
    (await value(at, "framepass_front_ends_total")) === 0 ? true : undefined,
  );
  const ofEach = async () => {
    const text = await (await ask(at, "/metrics")).text();
    const found = text.matchAll(/^framepass_front_end_requests_total\{front_end="(\d+)"\} 0$/gm);
    return [...found].map(([, number]) => number);
  };
  await onLoop(async (loop) => {
    using frontEnd = new FrontEnd(loop, startConnect(unixAddress(socket)));
    frontEnd.send("GET_FEATURES");
    expect((await frontEnd.receive(8000))?.request).toBe(1);
    await until("its own figures", LIMIT_MS, async () =>
      (await ofEach()).join() === "1" ? true : undefined,
    );
  });
  await until("a front-end", LIMIT_MS, async () =>
    (await value(at, "framepass_front_ends_total")) === 1 ? true : undefined,
  );
  await until("the end of its figures", LIMIT_MS, async () =>
    (await ofEach()).length === 0 ? true : undefined,
  );
  expect(await value(at, "framepass_requests_total")).toBe(0);
  expect((await ask(at, "/picture.png")).status).toBe(404);
  daemon.signal("SIGTERM");
  expect((await daemon.ended()).status).toBe(0);
  expect(existsSync(at)).toBe(false);
});

test("a port in use is one line and status 3, and an existing output file is left alone", async () => {
  using temp = new TempDir();
  const file = temp.file("film.yuv");
  writeFileSync(file, "mine");
  const used = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const words = ["-l", "127.0.0.1", "-p", freePort(), "-o", file, "--metrics", `${used.port}`];
  const { status, lines } = await run("receiver", words);
  used.stop(true);
  expect(status).toBe(3);
  expect(lines).toEqual([
    `receiver: bind 127.0.0.1:${used.port}: EADDRINUSE (address already in use); another program listens there: choose another --metrics`,
  ]);
  expect(statSync(file).size).toBe(4);
});

test.each(["receiver", "sender", "receiver_zc", "sender_zc", "receiver_sdl", "receiver_zc_sdl"])(
  "%s refuses a value that is no address",
  async (name) => {
    const place = name.startsWith("sender") ? "-a" : "-l";
    const { status, lines } = await run(name, [place, "unix:/nowhere", "--metrics", "here"]);
    expect(status).toBe(2);
    expect(lines.at(-1)).toContain("--metrics must be PORT, ADDRESS:PORT or unix:PATH");
  },
);

/** Threads of a process that the runtime has started for a Worker. Those of its compiler come and go. */
const workersOf = (pid: number) =>
  readdirSync(`/proc/${pid}/task`).filter(
    (thread) => readFileSync(`/proc/${pid}/task/${thread}/comm`, "utf8") === "Worker\n",
  ).length;

test("a renamed copy has the worker in it, reads nothing from its folder, and starts no thread without the option", async () => {
  await built();
  using temp = new TempDir();
  copyFileSync(join(dist, "framepass"), temp.file("video-tool"));
  mkdirSync(join(temp.path, "src", "metrics"), { recursive: true });
  for (const name of ["page-worker.js", "page-worker.ts", "src/metrics/page-worker.ts"])
    writeFileSync(join(temp.path, name), "process.exit(66)");
  const start = (more: string[]) =>
    Tool.start("", ["receiver", "-l", "127.0.0.1", "-p", freePort(), ...more], {
      path: temp.file("video-tool"),
      cwd: temp.path,
    });
  const port = freePort();
  await using without = await start([]);
  await using with_ = await start(["--metrics", port]);
  for (const tool of [without, with_]) await tool.says("listening on");
  expect(await value(port, "process_resident_memory_bytes")).toBeGreaterThan(1e6);
  expect([workersOf(with_.pid), workersOf(without.pid)]).toEqual([1, 0]);
  with_.signal("SIGTERM");
  expect((await with_.ended()).status).toBe(130);
});
