// --metrics as a tool uses it: the worker, its socket, the picture that is copied when it is wanted, a worker that fails.
import { expect, test } from "bun:test";
import { existsSync, lstatSync, writeFileSync } from "node:fs";
import { decode } from "fast-png";
import { addressOf } from "../../ffi/libc.ts";
import { streamFigures } from "../../src/cli/figures.ts";
import { log } from "../../src/cli/log.ts";
import { UnavailableError } from "../../src/errors.ts";
import { Canvas } from "../../src/format/canvas.ts";
import { fourcc, pixelFormatNamed } from "../../src/format/formats.ts";
import type { Loop } from "../../src/loop.ts";
import { type Metrics, openMetrics } from "../../src/metrics/metrics.ts";
import { readExposition, valueIn } from "../support/exposition.ts";
import { onLoop as onAnyLoop } from "../support/loop.ts";
import { freePort, TempDir } from "../support/tool.ts";

const look = { tool: "receiver", pictures: true };
const figure = { kind: streamFigures.frames, value: () => 7 };

/** Runs `task` on our loop, with the limit of a busy machine. */
const onLoop = <T>(task: (loop: Loop, signal: AbortSignal) => Promise<T>) =>
  onAnyLoop(task, 50_000);

async function opened(loop: Loop, text: string, signal: AbortSignal): Promise<Metrics> {
  const metrics = await openMetrics(loop, text, look, signal);
  if (metrics === undefined) throw new Error("not opened");
  return metrics;
}

/** Whether the worker wants a picture now: another thread changes it. */
const isWanted = (metrics: Metrics): boolean => metrics.wanted;

/** Waits for the runtime's promise, while our loop runs. */
function settled<T>(loop: Loop, promise: Promise<T>): Promise<T> {
  const turns = loop.every(2, () => undefined);
  return promise.finally(() => turns[Symbol.dispose]());
}

const textAt = async (loop: Loop, url: string, init: BunFetchRequestInit = {}) =>
  await settled(
    loop,
    fetch(url, init).then((answer) => answer.text()),
  );

test("without the option nothing is started", async () => {
  expect(
    await onLoop((loop, signal) => openMetrics(loop, undefined, look, signal)),
  ).toBeUndefined();
});

test("the published figures are at /metrics while it is open, and not after", async () => {
  const port = freePort();
  await onLoop(async (loop, signal) => {
    using metrics = await opened(loop, port, signal);
    using _published = metrics.publish([figure]);
    const text = await textAt(loop, `http://127.0.0.1:${port}/metrics`);
    expect(valueIn(readExposition(text), "framepass_frames_total")).toBe(7);
    expect(await textAt(loop, `http://localhost:${port}/healthz`)).toBe("ok\n");
    expect(await textAt(loop, `http://127.0.0.1:${port}/`)).toContain("<h1>receiver</h1>");
  });
  for (let open = true; open; ) open = await answers(`http://127.0.0.1:${port}/healthz`);
});

const answers = (url: string) =>
  fetch(url, { signal: AbortSignal.timeout(1000) }).then(
    () => true,
    () => false,
  );

test("a Unix socket is for its owner only, replaces a stale one, and is removed at the end", async () => {
  using temp = new TempDir();
  const path = temp.file("metrics");
  const first = Bun.listen({ unix: path, socket: { data() {} } });
  const inode = lstatSync(path).ino;
  Bun.spawnSync(["ln", path, `${path}.kept`]); // the runtime removes the name, and the file stays
  first.stop(true);
  if (!existsSync(path)) Bun.spawnSync(["ln", `${path}.kept`, path]);
  expect(lstatSync(path).ino).toBe(inode);
  await onLoop(async (loop, signal) => {
    using _metrics = await opened(loop, `unix:${path}`, signal);
    expect(lstatSync(path).ino).not.toBe(inode);
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
    expect(await textAt(loop, "http://any-name/healthz", { unix: path })).toBe("ok\n");
    const second = await openMetrics(loop, `unix:${path}`, look, signal).catch(
      (error: Error) => error.message,
    );
    expect(second).toBe(
      `bind unix:${path}: another program listens there; stop it or choose another path`,
    );
  });
  expect(existsSync(path)).toBe(false);
});

test("a tool that is ended while the worker starts waits for its Unix socket, so that it is removed", async () => {
  using temp = new TempDir();
  const path = temp.file("metrics");
  const program = new URL("./late-worker.ts", import.meta.url).href;
  const stop = new AbortController();
  log.setReporters([{ log: () => stop.abort() }]); // with the first message of the worker
  try {
    await onLoop(async (loop) => {
      using _metrics = await openMetrics(loop, `unix:${path}`, { ...look, program }, stop.signal);
      expect(existsSync(path)).toBe(true);
    });
  } finally {
    log.setReporters([]);
  }
  expect(existsSync(path)).toBe(false);
});

test("a Unix socket is removed by the tool and by the runtime at once, and that is no error", async () => {
  using temp = new TempDir();
  const path = temp.file("metrics");
  await onLoop(async (loop, signal) => {
    for (let i = 0; i < 20; i++) {
      {
        using _metrics = await opened(loop, `unix:${path}`, signal);
      }
      await loop.sleep(i, signal);
      expect(existsSync(path)).toBe(false);
    }
  });
});

test("a file that is no socket is not replaced", async () => {
  using temp = new TempDir();
  const path = temp.file("metrics");
  writeFileSync(path, "mine");
  const message = await onLoop((loop, signal) =>
    openMetrics(loop, `unix:${path}`, look, signal).catch((error: Error) => error.message),
  );
  expect(message).toContain("something that is no socket is there");
  expect(existsSync(path)).toBe(true);
});

test("a port in use is an error with the address and what to do", async () => {
  const used = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const error = await onLoop((loop, signal) =>
    openMetrics(loop, String(used.port), look, signal).catch((caught: unknown) => caught),
  );
  used.stop(true);
  expect(error).toMatchObject({ name: "UnavailableError", cause: { code: "EADDRINUSE" } });
  expect((error as Error).message).toBe(
    `bind 127.0.0.1:${used.port}: EADDRINUSE (address already in use); another program listens there: choose another --metrics`,
  );
});

const width = 6;
const height = 4;
/** A stream of raw pictures, and one of them. */
function picture(name: string, stride: number, seed: number) {
  const format = pixelFormatNamed(name);
  if (format === undefined) throw new Error(`no format ${name}`);
  const bytes = new Uint8Array(new ArrayBuffer(stride * height));
  for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 37 + seed) % 256;
  const stream = { width, height, pixelformat: fourcc(name), sizeimage: bytes.length };
  const planes = [{ offset: 0, rowBytes: stride, rows: height }];
  const rgb = new Canvas(bytes, format, width, height, planes).toRgb();
  return { stream, bytes, rgb };
}

test.each([
  ["YUYV", 12],
  ["YUYV", 16],
  ["RGB3", 18],
])(
  "a picture in %s with rows of %i bytes is copied when it is asked for, and has its pixels",
  async (name, stride) => {
    const port = freePort();
    await onLoop(async (loop, signal) => {
      using metrics = await opened(loop, port, signal);
      expect(metrics.wanted).toBe(false);
      const shown = settled(loop, fetch(`http://127.0.0.1:${port}/picture.png`));
      while (!isWanted(metrics)) await loop.sleep(5, signal);
      const { stream, bytes, rgb } = picture(name, stride, 1);
      metrics.take(stream, addressOf(bytes), bytes.length);
      expect(metrics.wanted).toBe(false);
      const answer = await shown;
      expect(answer.headers.get("content-type")).toBe("image/png");
      const png = decode(await settled(loop, answer.bytes()));
      expect([png.width, png.height, png.channels]).toEqual([width, height, 3]);
      expect([...png.data]).toEqual([...rgb]);
    });
  },
);

test("pictures are at most one a second, however many ask", async () => {
  const port = freePort();
  await onLoop(async (loop, signal) => {
    using metrics = await opened(loop, port, signal);
    const { stream, bytes } = picture("YUYV", 12, 1);
    let copies = 0;
    using _frames = loop.every(2, () => {
      if (!metrics.wanted) return;
      copies += 1;
      metrics.take(stream, addressOf(bytes), bytes.length);
    });
    const fromMs = performance.now();
    for (let round = 0; round < 10; round++) {
      const asked = Array.from({ length: 8 }, () =>
        fetch(`http://127.0.0.1:${port}/picture.png`).then((answer) => answer.status),
      );
      expect(await settled(loop, Promise.all(asked))).toEqual(Array(8).fill(200));
      await loop.sleep(100, signal);
    }
    const seconds = (performance.now() - fromMs) / 1000;
    expect(copies).toBeGreaterThan(0);
    expect(copies).toBeLessThanOrEqual(1 + Math.ceil(seconds));
  });
});

test("a picture that was overwritten while it was copied is not shown, the next one is", async () => {
  const port = freePort();
  await onLoop(async (loop, signal) => {
    using metrics = await opened(loop, port, signal);
    const shown = textOrPng(loop, `http://127.0.0.1:${port}/picture.png`);
    while (!isWanted(metrics)) await loop.sleep(5, signal);
    const [torn, whole] = [picture("RGB3", 18, 1), picture("RGB3", 18, 99)];
    metrics.take(torn.stream, addressOf(torn.bytes), torn.bytes.length, () => true);
    expect(isWanted(metrics)).toBe(true);
    metrics.take(whole.stream, addressOf(whole.bytes), whole.bytes.length, () => false);
    expect([...decode((await shown).bytes).data]).toEqual([...whole.rgb]);
  });
});

async function textOrPng(loop: Loop, url: string) {
  const answer = await settled(loop, fetch(url));
  const bytes = await settled(loop, answer.bytes());
  return { status: answer.status, bytes, text: new TextDecoder().decode(bytes) };
}

test("without a stream, and for formats that cannot be shown, the answer says why", async () => {
  const port = freePort();
  await onLoop(async (loop, signal) => {
    using metrics = await opened(loop, port, signal);
    const url = `http://127.0.0.1:${port}/picture.png`;
    const none = await textOrPng(loop, url);
    expect([none.status, none.text]).toEqual([503, "no picture has come yet\n"]);
    const shown = textOrPng(loop, url);
    while (!isWanted(metrics)) await loop.sleep(5, signal);
    const { bytes } = picture("YUYV", 12, 1);
    const stream = { width, height, pixelformat: fourcc("H264"), sizeimage: 1000 };
    metrics.take(stream, addressOf(bytes), bytes.length);
    const { status, text } = await shown;
    expect([status, text]).toEqual([503, "a picture in H264 cannot be shown\n"]);
  });
});

test("without a thread for the worker the tool ends with one line: what was refused and what to do", async () => {
  using temp = new TempDir();
  const { Worker } = globalThis;
  globalThis.Worker = class {
    constructor() {
      throw new TypeError("Failed to spawn worker thread"); // as the runtime does under a limit
    }
  } as unknown as typeof Worker;
  try {
    const error = await onLoop((loop, signal) =>
      openMetrics(loop, `unix:${temp.file("metrics")}`, look, signal).catch((e: unknown) => e),
    );
    expect(error).toBeInstanceOf(UnavailableError);
    expect((error as Error).message).toBe(
      "--metrics: Failed to spawn worker thread; raise the limit (ulimit -u, TasksMax=), or leave --metrics out",
    );
  } finally {
    globalThis.Worker = Worker;
  }
});

test("a worker that fails costs one warning, and the tool goes on", async () => {
  const said: string[] = [];
  log.setReporters([{ log: ({ args, type }) => said.push(`${type} ${args.join(" ")}`) }]);
  using temp = new TempDir();
  try {
    await onLoop(async (loop, signal) => {
      const program = new URL("./failing-worker.ts", import.meta.url).href;
      const place = `unix:${temp.file("metrics")}`;
      using metrics = await openMetrics(loop, place, { ...look, program }, signal);
      using published = metrics?.publish([figure]);
      using _turns = loop.every(2, () => undefined);
      while (!said.some((line) => line.startsWith("warn"))) await loop.sleep(5, signal);
      published?.update();
      metrics?.publish([figure]);
      expect(metrics?.wanted).toBe(false);
      await loop.sleep(300, signal);
    });
  } finally {
    log.setReporters([]);
  }
  expect(said.filter((line) => line.startsWith("warn"))).toEqual([
    "warn metrics: the page has failed and is closed, the stream goes on: the worker has a defect",
  ]);
});
