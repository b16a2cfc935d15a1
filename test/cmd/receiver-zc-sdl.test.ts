// receiver_zc_sdl as its users see it, over descriptors, under a screen in memory: what is painted in the sender's
// buffers is to be seen. What this cannot show is a screen's refresh: Xvfb has none.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { wrongBars } from "../support/bars.ts";
import { mappedFrames, openDescriptors } from "../support/resources.ts";
import { records, TempDir, Tool } from "../support/tool.ts";
import { until } from "../support/until.ts";
import { Xvfb } from "../support/xvfb.ts";

let screen: Xvfb;
const work = new TempDir();
const address = `unix:${work.file("socket")}`;

beforeAll(async () => {
  screen = await Xvfb.start();
}, 120_000);
afterAll(async () => {
  await screen[Symbol.asyncDispose]();
  work[Symbol.dispose]();
});

async function receive(...words: string[]): Promise<Tool> {
  const env = { DISPLAY: screen.display, WAYLAND_DISPLAY: undefined, SDL_VIDEODRIVER: undefined };
  const tool = await Tool.start("receiver_zc_sdl", ["-l", address, ...words], { env });
  await tool.says("listening on");
  return tool;
}

const send = (format: string, width: number, height: number, ...more: string[]) => {
  const size = ["-f", format, "-W", String(width), "-H", String(height), "-r", "30"];
  return Tool.start("sender_zc", [
    "-d",
    "testsrc",
    ...size,
    "-a",
    address,
    "--stats",
    "0",
    ...more,
  ]);
};

/** Waits until a window of that size shows the bars. */
async function showsBars(width: number, height: number, grey = false, on = screen): Promise<void> {
  let last: string | undefined = "no window";
  await until(`bars in ${width}x${height}`, 10_000, async () => {
    const windows = await on.x.windows();
    const window = windows.find((one) => one.width === width && one.height === height);
    if (window === undefined) return undefined;
    try {
      last = wrongBars(await on.x.shot(window.id), grey);
    } catch (error) {
      last = (error as Error).message; // its size changes just now
    }
    return last === undefined ? true : undefined;
  }).catch((error: Error) => {
    throw new Error(`${error.message}: ${last}`);
  });
}

test("one sender after the other is shown from its own buffers, which are unmapped afterwards", async () => {
  await using receiver = await receive("--keep", "--verify", "--stats", "0");
  let descriptors = 0;
  for (const [format, width, height] of [
    ["YUYV", 640, 480],
    ["NV12", 1280, 720],
    ["RGB3", 641, 361],
    ["GREY", 320, 240],
  ] as const) {
    {
      await using _sender = await send(format, width, height, "-b", "6");
      await showsBars(width, height, format === "GREY");
      expect(mappedFrames(receiver.pid)).toBe(6);
    }
    await until("the buffers to go", 5000, () => mappedFrames(receiver.pid) === 0 || undefined);
    if (descriptors === 0) descriptors = openDescriptors(receiver.pid);
    await until("the descriptors to go", 5000, () => {
      return openDescriptors(receiver.pid) <= descriptors || undefined;
    });
  }
  receiver.signal("SIGINT");
  expect((await receiver.ended()).status).toBe(130);
}, 40_000);

test("300 frames are returned while they are shown, none of them late", async () => {
  await using receiver = await receive("--verify", "--json");
  await using sender = await send(
    "YUYV",
    640,
    480,
    "-r",
    "100",
    "-n",
    "300",
    "-k",
    "5000",
    "--json",
  );
  const sent = records((await sender.ended()).stdout).at(-1);
  const { status, stdout } = await receiver.ended();
  expect(status).toBe(0);
  expect(sent).toMatchObject({
    frames: 300,
    returned: 300,
    refused: 0,
    overdue: 0,
    late: 0,
    lost: 0,
  });
  expect(Number(sent?.latency_p99_ms)).toBeLessThan(200); // but for the first, which waits for the window
  const shown = records(stdout).at(-1);
  expect(shown).toMatchObject({ reason: "done", verified: 300, not_showable: 0 });
  expect(Number(shown?.shown) + Number(shown?.passed)).toBe(300);
}, 30_000);

test("closing the window ends the receiver with status 0, and the sender with status 1 and the reason", async () => {
  await using receiver = await receive();
  await using sender = await send("YUYV", 320, 240);
  await showsBars(320, 240);
  const window = (await screen.x.windows()).find(({ width }) => width === 320);
  await screen.x.close(window?.id ?? 0);
  expect((await receiver.ended()).status).toBe(0);
  const { status, lines } = await sender.ended();
  expect(status).toBe(1);
  expect(lines.at(-1)).toMatch(/the receiver closed the connection|EPIPE|ECONNRESET/);
}, 30_000);

test.each([
  { by: "the renderer that SDL chooses", renderer: undefined },
  { by: "OpenGL", renderer: "opengl" },
])("an X server that ends costs no clean-up, with $by", async ({ renderer }) => {
  const server = await Xvfb.start();
  const env = {
    DISPLAY: server.display,
    WAYLAND_DISPLAY: undefined,
    SDL_VIDEODRIVER: undefined,
    SDL_RENDER_DRIVER: renderer,
  };
  const words = ["-l", address, "--json", "--stats", "0.1"];
  const out = work.file("records");
  const fd = openSync(out, "w");
  await using receiver = await Tool.start("receiver_zc_sdl", words, { env, stdout: fd });
  closeSync(fd);
  await receiver.says("listening on");
  await using sender = await send("YUYV", 64, 48);
  // Mesa does not survive the end of the server while it sets up OpenGL: wait until pictures were shown.
  const shows = async () =>
    /"stats".*"frames":([5-9]|\d\d)/.test(readFileSync(out, "utf8")) || undefined;
  await until("five pictures", 10_000, shows);
  await server[Symbol.asyncDispose]();
  const { status, lines } = await receiver.ended();
  const stdout = readFileSync(out, "utf8");
  expect(status).toBe(1);
  const said = lines.filter((line) => /error|X conn/.test(line));
  expect(said).toHaveLength(1);
  expect(said[0]).toMatch(
    /^receiver_zc_sdl: error: SDL_(PollEvent|RenderPresent) x11: the X server has gone$/,
  );
  const last = records(stdout).slice(-2);
  expect(last).toMatchObject([{ record: "stopped", reason: "failed" }, { record: "failure" }]);
  expect(existsSync(work.file("socket"))).toBe(false);
  await sender.ended();
});

test("without a screen: one line, status 3", async () => {
  const env = { DISPLAY: undefined, WAYLAND_DISPLAY: undefined, SDL_VIDEODRIVER: undefined };
  await using tool = await Tool.start("receiver_zc_sdl", ["-l", address], { env });
  const { status, lines } = await tool.ended();
  expect(status).toBe(3);
  expect(lines.at(-1)).toMatch(/^receiver_zc_sdl: no display: .*DISPLAY/);
}, 120_000);
