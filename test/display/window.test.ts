// receiver_sdl as its users see it: the pictures in its window, under a screen in memory. What this cannot show
// is a real GPU, a screen's refresh and what full screen looks like; the guest lab has a virtio-gpu.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode } from "fast-png";
import { library } from "../../scripts/display-needs.ts";
import { openTestSource } from "../../src/capture/testsrc.ts";
import { CARD_GROUND } from "../../src/display/card.ts";
import { Canvas } from "../../src/format/canvas.ts";
import { formats, fourcc, pixelFormatNamed } from "../../src/format/formats.ts";
import { difference, wrongBars } from "../support/bars.ts";
import { encodeJpeg } from "../support/jpeg.ts";
import { frameBytes, helloBytes, RawSender } from "../support/peer.ts";
import { openDescriptors } from "../support/resources.ts";
import { freePort, Tool, within } from "../support/tool.ts";
import { until } from "../support/until.ts";
import type { Shot, X11, XWindow } from "../support/x11.ts";
import { Xvfb } from "../support/xvfb.ts";

const KEY = { escape: 9, q: 24, s: 39, f: 41 } as const; // X key codes of a PC keyboard
let screen: Xvfb;
let x: X11;
const work = mkdtempSync(join(tmpdir(), "framepass-display-"));

beforeAll(async () => {
  screen = await Xvfb.start();
  x = screen.x;
}, 120_000);
afterAll(async () => {
  await screen[Symbol.asyncDispose]();
  rmSync(work, { recursive: true, force: true });
});

/** Variables that choose where SDL draws; those not named are unset. */
const drawOn = (variables: Record<string, string | undefined>) => ({
  env: {
    DISPLAY: undefined,
    WAYLAND_DISPLAY: undefined,
    SDL_VIDEODRIVER: undefined,
    XDG_RUNTIME_DIR: undefined,
    ...variables,
  },
});

/** A process that is ended with its scope. */
class Child implements AsyncDisposable {
  readonly #process: Bun.Subprocess;
  constructor(process: Bun.Subprocess) {
    this.#process = process;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill();
    await this.#process.exited;
  }
}

type Receiver = Tool & { readonly port: string };

/** A receiver_sdl that listens. */
const receive = (...words: string[]): Promise<Receiver> => receiveOn({}, ...words);

async function receiveOn(
  variables: Record<string, string | undefined>,
  ...words: string[]
): Promise<Receiver> {
  const port = freePort();
  const where = ["-l", "127.0.0.1", "-p", port];
  const on = drawOn({ DISPLAY: screen.display, ...variables });
  const tool = await Tool.start("receiver_sdl", [...where, ...words], on);
  await tool.says("listening on");
  return Object.assign(tool, { port });
}

function send(port: string, format: string, width: number, height: number, ...more: string[]) {
  const size = ["-f", format, "-W", String(width), "-H", String(height)];
  const to = ["-a", "127.0.0.1", "-p", port, "--stats", "0"];
  return Tool.start("sender", ["-d", "testsrc", ...size, ...to, "-r", "15", ...more]);
}

/** A sender of our own that has said hello. */
async function rawSender(
  port: string,
  format: string,
  width: number,
  height: number,
  sizeimage: number,
) {
  const sender = await RawSender.to({ host: "127.0.0.1", port: Number(port) });
  await sender.send(helloBytes({ width, height, pixelformat: fourcc(format), sizeimage }));
  let sequence = 0;
  return Object.assign(sender, {
    async frame(payload: Uint8Array): Promise<void> {
      await sender.send(frameBytes(sequence++, payload.length));
      await sender.send(payload);
    },
  });
}

/** Waits until a tool has said something. */
const said = (tool: Tool, pattern: RegExp) =>
  until(`${pattern}`, 5000, () => (pattern.test(tool.stderr) ? true : undefined));

/** The window of a size, once it is there. */
const windowOf = (width: number, height: number) =>
  until(`a window of ${width}x${height}`, 4000, async () =>
    (await x.windows()).find((w) => w.width === width && w.height === height),
  );

/** Waits until what is to be seen is as `wrong` wants it. */
async function seen(window: XWindow, wrong: (shot: Shot) => string | undefined): Promise<void> {
  let last: string | undefined = "no picture";
  await until("the picture", 4000, async () => {
    try {
      last = wrong(await x.shot(window.id));
    } catch (error) {
      last = (error as Error).message; // its size changes just now
    }
    return last === undefined ? true : undefined;
  }).catch(() => undefined);
  expect(last).toBeUndefined();
}

/** The bytes of a picture of testsrc. */
function barsPicture(format: string, width: number, height: number): Uint8Array<ArrayBuffer> {
  using source = openTestSource("testsrc", { format, width, height, buffers: 1, fps: 0 });
  source.start();
  using frame = source.next();
  expect(frame).toBeDefined();
  return source.buffers[0]?.mapping.bytes.slice() ?? new Uint8Array(0);
}

const onScreen = formats.filter((format) => format.sentAs === undefined).map(({ name }) => name);

const isGrey = (name: string) => pixelFormatNamed(name)?.model === "grey";

test("every format in every size shows its bars, one sender after the other", async () => {
  await using receiver = await receive("--keep");
  const { port } = receiver;
  let descriptors = 0;
  const sizes: readonly (readonly [number, number])[] = [
    [640, 480],
    [1366, 768],
    [1920, 1080],
  ]; // 1366 pixels of RGB3 are no multiple of 4
  const cases = onScreen.flatMap((format) => sizes.map(([w, h]) => ({ format, w, h })));
  for (const format of ["YUYV", "NV12", "YU12", "RGB3", "GREY"])
    cases.push({ format, w: 641, h: 361 });
  expect(onScreen.length).toBeGreaterThan(9);
  for (const { format, w, h } of cases) {
    await using _sender = await send(port, format, w, h);
    const window = await windowOf(w, h);
    await seen(window, (shot) => {
      const wrong = wrongBars(shot, isGrey(format));
      return wrong && `${format} ${w}x${h}: ${wrong}`;
    });
    if (descriptors === 0) descriptors = openDescriptors(receiver.pid);
    expect(openDescriptors(receiver.pid)).toBeLessThanOrEqual(descriptors + 4); // staging buffers
  }
}, 120_000);

// Where Mesa is there: the textures of a GPU's renderer, which take rows as they are, drawn on the CPU all the same.
const mesa = existsSync(library("dri/swrast_dri.so"));
test.skipIf(!mesa)(
  "every format shows its bars through OpenGL",
  async () => {
    await using receiver = await receiveOn({ SDL_RENDER_DRIVER: "opengl" }, "--keep");
    const { port } = receiver;
    const cases = onScreen.map((format) => ({ format, width: 640, height: 480 }));
    for (const format of ["YUYV", "NV12", "YU12", "RGB3"])
      cases.push({ format, width: 366, height: 250 });
    for (const { format, width, height } of cases) {
      await using _sender = await send(port, format, width, height);
      await seen(await windowOf(width, height), (shot) => {
        const wrong = wrongBars(shot, isGrey(format));
        return wrong && `${format} ${width}x${height}: ${wrong}`;
      });
    }
    await said(receiver, /opengl renderer on /);
  },
  120_000,
);

test.skipIf(!mesa || Bun.which("weston") === null)(
  "a Wayland window, in full screen",
  async () => {
    const runtime = mkdtempSync(join(work, "wayland-"));
    const size = ["--width=700", "--height=500"];
    await using _weston = new Child(
      Bun.spawn(["weston", "--backend=x11-backend.so", "--socket=test", "--use-pixman", ...size], {
        env: { ...process.env, DISPLAY: screen.display, XDG_RUNTIME_DIR: runtime },
        stdin: "ignore",
        stdout: "ignore",
        stderr: "ignore",
        timeout: 30_000,
      }),
    );
    const output = await windowOf(700, 500);
    await until("the socket", 4000, () => (existsSync(join(runtime, "test")) ? true : undefined));
    const wayland = {
      SDL_VIDEODRIVER: "wayland",
      WAYLAND_DISPLAY: "test",
      XDG_RUNTIME_DIR: runtime,
    };
    await using receiver = await receiveOn({ DISPLAY: undefined, ...wayland }, "--fullscreen");
    await using _sender = await send(receiver.port, "YUYV", 700, 500);
    await seen(output, (shot) => wrongBars(shot, false));
    await said(receiver, /video driver wayland/);
  },
  120_000,
);

test("the title says tool, size, format and rate", async () => {
  await using receiver = await receive();
  const { port } = receiver;
  await using _sender = await send(port, "YUYV", 320, 240);
  const window = await windowOf(320, 240);
  await until("the rate", 4000, async () =>
    /^receiver_sdl 320x240 YUYV 1[3-7]\.\d fps$/.test(await x.title(window.id)) ? true : undefined,
  );
  await said(receiver, /display: video driver x11, software renderer/);
});

test("a resized window keeps the picture's shape, between black borders", async () => {
  await using receiver = await receive();
  const { port } = receiver;
  await using _sender = await send(port, "NV12", 640, 480);
  x.resize((await windowOf(640, 480)).id, 1000, 480);
  await seen(await windowOf(1000, 480), (shot) => {
    const borders = [10, 170, 830, 990].map((at) => difference(shot.at(at, 240), [0, 0, 0]));
    const area = { x: 180, y: 0, width: 640, height: 480 };
    return borders.find((wrong) => wrong !== undefined) ?? wrongBars(shot, false, area);
  });
});

test("--scale fill covers the window, none shows pixel for pixel", async () => {
  for (const [scale, area] of [
    ["fill", { x: 0, y: -135, width: 1000, height: 750 }],
    ["none", { x: 180, y: 0, width: 640, height: 480 }],
  ] as const) {
    await using receiver = await receive("--scale", scale);
    const { port } = receiver;
    await using _sender = await send(port, "YUYV", 640, 480);
    x.resize((await windowOf(640, 480)).id, 1000, 480);
    await seen(await windowOf(1000, 480), (shot) => {
      // Of the enlarged picture the upper rows are outside: look at a row that is inside.
      const wrong = [191, 191, 191] as const;
      const at = [area.x + 20, 200] as const;
      const border = scale === "none" ? difference(shot.at(10, 240), [0, 0, 0]) : undefined;
      return border ?? difference(shot.at(Math.max(0, at[0]), at[1]), wrong);
    });
  }
});

test("rows with a driver's padding are shown without slant", async () => {
  const [width, height, pitch] = [320, 240, 704];
  const tight = barsPicture("YUYV", width, height);
  const padded = new Uint8Array(pitch * height).fill(0x55);
  for (let row = 0; row < height; row++)
    padded.set(tight.subarray(row * width * 2, (row + 1) * width * 2), row * pitch);
  await using receiver = await receive();
  const { port } = receiver;
  using sender = await rawSender(port, "YUYV", width, height, padded.length);
  await sender.frame(padded);
  await seen(await windowOf(width, height), (shot) => wrongBars(shot, false));
});

test("MJPG is decoded; a damaged picture or one of another size is not shown and counted", async () => {
  const [width, height] = [640, 480];
  const format = pixelFormatNamed("RGB3");
  if (format === undefined) throw new Error("no RGB3");
  const rgb = barsPicture("RGB3", width, height);
  const red = new Uint8Array(width * height * 3);
  const canvas = new Canvas(red, format, width, height);
  canvas.fill(0, 0, width, height, [255, 0, 0]);
  const good = encodeJpeg(rgb, width, height);
  const small = encodeJpeg(red, 320, 240);
  const page = freePort();
  await using receiver = await receive("--json", "--no-vsync", "--metrics", page);
  const { port } = receiver;
  using sender = await rawSender(port, "MJPG", width, height, 500_000);
  await sender.frame(good);
  const window = await windowOf(width, height);
  await seen(window, (shot) => wrongBars(shot, false));
  const damaged = [
    small,
    good.subarray(0, 700),
    new Uint8Array(1000).fill(0xff),
    good.subarray(0, 0),
  ];
  for (const [before, bad] of damaged.entries()) {
    await sender.frame(bad);
    // A busy receiver passes over a frame that another one follows.
    await until("the count of frames", 10_000, async () => {
      const figures = await (await fetch(`http://127.0.0.1:${page}/metrics`)).text();
      const count = /^framepass_window_frames_total\{.*state="not_showable".*\} (\d+)$/m.exec(
        figures,
      );
      return Number(count?.[1]) > before ? true : undefined;
    });
  }
  await seen(window, (shot) => wrongBars(shot, false));
  await sender.frame(encodeJpeg(red, width, height));
  await seen(window, (shot) => difference(shot.at(320, 240), [255, 0, 0]));
  await x.close(window.id);
  const { status, stdout, stderr } = await receiver.ended();
  expect(status).toBe(0);
  expect(stderr.match(/cannot be shown: it is 320x240, must be 640x480; later ones/g)).toHaveLength(
    1,
  );
  const { shown, not_showable, passed } = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
  expect({ shown, not_showable, passed }).toEqual({ shown: 2, not_showable: 4, passed: 0 });
});

test("a compressed picture that needs more than --max-frame when decoded is refused", async () => {
  await using receiver = await receive();
  const { port } = receiver;
  using _sender = await rawSender(port, "MJPG", 16_384, 16_384, 1000);
  const { status, stderr } = await receiver.ended();
  expect(status).toBe(1);
  expect(stderr).toContain("16384x16384 MJPG is 536870912 bytes decoded");
});

test("a format that cannot be shown ends the connection of its sender, and with --keep nothing else", async () => {
  await using receiver = await receive("--keep");
  const { port } = receiver;
  using sender = await rawSender(port, "H264", 64, 64, 1000);
  await said(receiver, /H264 cannot be shown; YUYV, .*MJPG/);
  await within(sender.closed, "the end of the connection");
  await using _sender = await send(port, "YUYV", 640, 480);
  await seen(await windowOf(640, 480), (shot) => wrongBars(shot, false));
});

test("the close button ends a tool whose sender is stalled in the middle of a frame, with status 0", async () => {
  await using receiver = await receive();
  const { port } = receiver;
  using sender = await rawSender(port, "YUYV", 640, 480, 614_400);
  await sender.frame(barsPicture("YUYV", 640, 480));
  await sender.send(frameBytes(1, 614_400));
  await sender.send(new Uint8Array(100_000));
  const window = await windowOf(640, 480);
  await seen(window, (shot) => wrongBars(shot, false));
  x.resize(window.id, 800, 600); // it is alive
  const area = { x: 0, y: 0, width: 800, height: 600 };
  await seen(await windowOf(800, 600), (shot) => wrongBars(shot, false, area));
  const startMs = performance.now();
  await x.close(window.id);
  expect((await receiver.ended()).status).toBe(0);
  expect(performance.now() - startMs).toBeLessThan(1500);
});

test.each(["q", "escape"] as const)(
  "key %s ends the tool with status 0, SIGINT with 130",
  async (key) => {
    await using receiver = await receive("--keep");
    const window = await windowOf(640, 480);
    await x.press(window.id, KEY[key]);
    expect((await receiver.ended()).status).toBe(0);
    await using other = await receive("--keep");
    await windowOf(640, 480);
    other.signal("SIGINT");
    expect((await other.ended()).status).toBe(130);
  },
);

test("key f switches to full screen and back", async () => {
  x.hearManagerMessages();
  await using _receiver = await receive("--keep");
  const { id } = await windowOf(640, 480);
  const asked = async (what: readonly string[]) =>
    until(`${what}`, 4000, async () =>
      (await x.stateRequests(id)).join() === what.join() ? true : undefined,
    );
  await x.press(id, KEY.f);
  await asked(["add full screen"]);
  await x.press(id, KEY.f);
  await asked(["add full screen", "remove full screen"]);
});

test.each([
  ["auto", 240, [236, 77, 44]], // BT.601, limited range: V4L2's default for every size
  ["auto", 720, [236, 77, 44]],
  ["bt601", 720, [236, 77, 44]],
  ["bt709", 240, [250, 91, 40]], // BT.709
  ["bt601-full", 240, [221, 82, 53]],
] as const)("--colour %s for %i lines: matrix and range", async (colour, height, rgb) => {
  const width = 320;
  const frame = new Uint8Array(width * height * 2);
  for (let at = 0; at < frame.length; at += 4) frame.set([120, 90, 120, 200], at); // Y Cb Y Cr
  await using receiver = await receive("--colour", colour);
  const { port } = receiver;
  using sender = await rawSender(port, "YUYV", width, height, frame.length);
  await sender.frame(frame);
  await seen(await windowOf(width, height), (shot) => difference(shot.at(100, 100), rgb));
});

test("with --keep a card is shown before a sender comes and after one died, and the next one is shown", async () => {
  const isCard = (shot: Shot) => {
    const [cornerWrong] = [difference(shot.at(5, 5), CARD_GROUND)];
    let ink = 0;
    for (let px = 0; px < shot.width; px++)
      for (let py = 200; py < 280; py++) if (shot.at(px, py)[0] > 200) ink += 1;
    return cornerWrong ?? (ink > 100 ? undefined : `${ink} pixels of ink`);
  };
  await using receiver = await receive("--keep");
  const { port } = receiver;
  const window = await windowOf(640, 480);
  await seen(window, isCard);
  for (let round = 0; round < 2; round++) {
    await using sender = await send(port, "YUYV", 640, 480);
    await seen(window, (shot) => wrongBars(shot, false));
    sender.signal("SIGKILL");
    await seen(window, isCard);
  }
});

test("key s saves the picture as PNG, --hud draws figures over the picture", async () => {
  await using receiver = await receive("--snapshot", work, "--hud", "--scale", "fit");
  const { port } = receiver;
  await using _sender = await send(port, "YUYV", 640, 480);
  const window = await windowOf(640, 480);
  await seen(window, (shot) => {
    let ink = 0;
    for (let px = 8; px < 200; px++)
      for (let py = 8; py < 30; py++) if (shot.at(px, py)[0] > 240) ink += 1;
    return ink > 100 ? undefined : `${ink} pixels of ink`;
  });
  await x.press(window.id, KEY.s);
  await said(receiver, /wrote .*receiver_sdl-\d{8}T.*\.png/);
  const [name = ""] = readdirSync(work).filter((file) => file.endsWith(".png"));
  const { width, height, data, channels } = decode(readFileSync(join(work, name)));
  expect({ width, height, channels }).toEqual({ width: 640, height: 480, channels: 3 });
  const at = (px: number, py: number) => {
    const i = (py * width + px) * 3;
    return [data[i] ?? 0, data[i + 1] ?? 0, data[i + 2] ?? 0] as const;
  };
  expect(wrongBars({ width, height, at }, false)).toBeUndefined(); // the picture, without the figures
});

test("of frames that arrive together the newest is shown, the others are counted", async () => {
  const [width, height, burst] = [64, 48, 300];
  const picture = (level: number) => new Uint8Array(width * height).fill(level);
  await using receiver = await receive("--json", "--stats", "0");
  const { port } = receiver;
  using sender = await rawSender(port, "GREY", width, height, width * height);
  await sender.frame(picture(16));
  const window = await windowOf(width, height);
  await seen(window, (shot) => difference(shot.at(20, 20), [0, 0, 0]));
  const bytes = Array.from({ length: burst }, (_, i) => [
    frameBytes(1 + i, width * height),
    picture(i === burst - 1 ? 235 : 100),
  ]);
  await sender.send(Buffer.concat(bytes.flat()));
  await seen(window, (shot) => difference(shot.at(20, 20), [255, 255, 255]));
  await x.close(window.id);
  const { stdout } = await receiver.ended();
  const { shown, passed } = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
  expect(shown + passed).toBe(1 + burst);
  expect(passed).toBeGreaterThan(burst / 2);
});

test("a sender that never pauses neither keeps frames from the screen nor delays them", async () => {
  await using receiver = await receive("--json", "--stats", "0");
  const { port } = receiver;
  await using sender = await send(port, "YUYV", 640, 480, "-r", "0", "-n", "1500");
  expect((await sender.ended(9000)).status).toBe(0);
  const { status, stdout } = await receiver.ended();
  expect(status).toBe(0);
  const end = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
  expect(end.frames).toBe(1500);
  // One may be waiting when the end comes.
  expect(end.shown + end.passed).toBeGreaterThanOrEqual(1499);
  expect(end.shown).toBeGreaterThan(10);
  expect(end.latency_p99_ms).toBeLessThan(150); // 1500 frames in a queue would be far more
});

test("frames are also shown when they are written to a file and checked", async () => {
  const file = join(work, "out.yuv");
  await using receiver = await receive("-o", file, "--verify", "-n", "8");
  const { port } = receiver;
  await using _sender = await send(port, "UYVY", 640, 480);
  await seen(await windowOf(640, 480), (shot) => wrongBars(shot, false));
  const { status, stderr } = await receiver.ended();
  expect(status).toBe(0);
  expect(stderr).toContain("verified 8 frames");
  expect(statSync(file).size).toBe(8 * 614_400);
});

test("without a screen SDL's silent fallback is an error that names what was tried", async () => {
  const start = (variables: Record<string, string>) =>
    Tool.start("receiver_sdl", ["-l", "127.0.0.1", "-p", freePort()], drawOn(variables));
  await using none = await start({});
  const { status, stderr } = await none.ended();
  expect(status).toBe(3);
  expect(stderr).toMatch(
    /^receiver_sdl: no display: .*tried x11, .*set DISPLAY or WAYLAND_DISPLAY.*\n$/,
  );
  await using wrong = await start({ SDL_VIDEODRIVER: "x11" });
  const named = await wrong.ended();
  expect(named.status).toBe(3);
  expect(named.stderr).toContain("tried x11");
  await using dummy = await start({ SDL_VIDEODRIVER: "dummy" });
  await dummy.says("listening on");
  dummy.signal("SIGTERM");
  expect((await dummy.ended()).status).toBe(130);
});
