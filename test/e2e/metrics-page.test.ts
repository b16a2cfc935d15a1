// The page of --metrics in a browser: what a person sees, compared pixel by pixel. What this cannot show is another browser.
import { beforeAll, expect, test } from "bun:test";
import { decode } from "fast-png";
import { browserNeeds } from "../../scripts/display-needs.ts";
import { ensureDebian } from "../../scripts/ensure.ts";
import { openTestSource } from "../../src/capture/testsrc.ts";
import { Canvas } from "../../src/format/canvas.ts";
import { pixelFormatNamed } from "../../src/format/formats.ts";
import { Browser } from "../support/browser.ts";
import { freePort, listening, Tool } from "../support/tool.ts";

beforeAll(() => ensureDebian(browserNeeds), 600_000);

const wish = { width: 320, height: 240, format: "YUYV" };
/** More than are sent while the page opens. */
const FRAMES = 3000;
/** The line is #2563c9: 164 more blue than red; 24 in the area under it. Its edges are blended with what is behind it. */
const MOSTLY_BLUE = 80;
/** The picture has round corners. */
const CORNER = 3;

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A part of a screenshot as RGB, row by row. */
function cut(png: { width: number; channels: number; data: ArrayLike<number> }, box: Box): Buffer {
  const out = Buffer.alloc(box.width * box.height * 3);
  for (let y = 0; y < box.height; y++) {
    for (let x = 0; x < box.width; x++) {
      const at = ((box.y + y) * png.width + box.x + x) * png.channels;
      for (let c = 0; c < 3; c++) out[(y * box.width + x) * 3 + c] = png.data[at + c] ?? 0;
    }
  }
  return out;
}

const boxOf = (selector: string) => `(() => {
  const { x, y, width, height } = document.querySelector(${JSON.stringify(selector)}).getBoundingClientRect();
  return { x: Math.round(x), y: Math.round(y), width: Math.round(width), height: Math.round(height) };
})()`;

test("a browser shows the stream's picture, its plots and figures, in both colours and on a phone, without a complaint", async () => {
  const metrics = freePort();
  await using receiver = await listening(["--keep", "--metrics", metrics]);
  await using browser = await Browser.start(1120, 800);
  await browser.prefer("light");
  const at = ["-a", `127.0.0.1:${receiver.port}`];
  const size = ["-W", `${wish.width}`, "-H", `${wish.height}`, "-f", wish.format];
  await using sender = await Tool.start("sender", ["-d", "testsrc", ...size, "-r", "25", ...at]);
  await receiver.says(" sends ");
  await browser.open(`http://127.0.0.1:${metrics}/`);
  expect(await browser.value("document.title")).toBe("receiver");
  await browser.until("!document.getElementById('picture').hidden");
  await browser.until("document.querySelectorAll('.chart .line').length >= 4");
  const points = "document.querySelector('.chart .line').getAttribute('d').split('L').length";
  await browser.until(`${points} > 5`); // a second is less than a pixel wide
  const streaming = "document.querySelector('.tiles.streaming') !== null";
  expect(await browser.value(streaming)).toBe(true);
  sender.signal("SIGTERM");
  await sender.ended();
  await browser.until(`!(${streaming})`); // now the picture stays the same

  const png = decode(await browser.screenshot());
  const box = await browser.value<Box>(boxOf("#picture"));
  expect([box.width, box.height]).toEqual([wish.width, wish.height]);
  const shown = cut(png, { ...inner, x: box.x + CORNER, y: box.y + CORNER });
  expect(numberOf(shown)).toBeGreaterThanOrEqual(0);

  const plot = await browser.value<Box>(boxOf(".chart svg"));
  const colours = cut(png, plot);
  let blue = 0;
  for (let i = 0; i < colours.length; i += 3)
    if ((colours[i + 2] ?? 0) - (colours[i] ?? 0) > MOSTLY_BLUE) blue += 1;
  expect(blue).toBeGreaterThan(2);

  const frames = await browser.value<string>(
    "[...document.querySelectorAll('tr')].find((row) => row.textContent.startsWith('framepass_frames_total')).cells[1].textContent",
  );
  const text = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
  expect(Number(frames.replaceAll(/\D/g, ""))).toBe(
    Number(/^framepass_frames_total (\d+)$/m.exec(text)?.[1]),
  );

  const ground = () => browser.value<string>("getComputedStyle(document.body).backgroundColor");
  const light = await ground();
  await browser.prefer("dark");
  expect(await ground()).not.toBe(light);
  await browser.resize(360, 740);
  expect(await browser.value("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
  expect(browser.complaints).toEqual([]);
});

const inner = {
  x: CORNER,
  y: CORNER,
  width: wish.width - 2 * CORNER,
  height: wish.height - 2 * CORNER,
};

/** The number of the frame whose inner part is `shown`; -1 without one. */
function numberOf(shown: Buffer): number {
  const format = pixelFormatNamed(wish.format);
  using source = openTestSource("testsrc", { ...wish, fps: 0, buffers: 1 });
  const [buffer] = source.buffers;
  if (format === undefined || buffer === undefined) throw new Error("nothing to compare with");
  source.start();
  for (let number = 0; number < FRAMES; number++) {
    using _frame = source.next();
    const data = new Canvas(buffer.mapping.bytes, format, wish.width, wish.height).toRgb();
    if (Buffer.compare(cut({ width: wish.width, channels: 3, data }, inner), shown) === 0)
      return number;
  }
  return -1;
}
