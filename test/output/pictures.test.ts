// PNG, YUV4MPEG2 and the command that plays what was written.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { decode } from "fast-png";
import { Canvas } from "../../src/format/canvas.ts";
import { formats, fourcc, pixelFormatNamed } from "../../src/format/formats.ts";
import { pictureBytes } from "../../src/format/picture-layout.ts";
import { playCommand } from "../../src/output/play.ts";
import { encodePng } from "../../src/output/png.ts";
import { y4mFrameMark, y4mHeader } from "../../src/output/y4m.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

test.each(formats)("a $name picture becomes a PNG with the colours it has", (format) => {
  for (const [width, height] of [
    [9, 7],
    [1, 1],
    [16, 4],
  ] as const) {
    const bytes = new Uint8Array(pictureBytes(format, width, height));
    for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 53) & 0xff;
    const canvas = new Canvas(bytes, format, width, height);
    const png = decode(encodePng(canvas));
    expect([png.width, png.height, png.channels, png.depth]).toEqual([width, height, 3, 8]);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = (y * width + x) * 3;
        expect([...png.data.subarray(at, at + 3)]).toEqual([...canvas.colourAt(x, y)]);
      }
    }
  }
});

const picture = { width: 640, height: 480, pixelformat: fourcc("YU12"), sizeimage: 460_800 };

test("a YUV4MPEG2 header names size, rate and colour space; a frame begins with its mark", () => {
  expect(text(y4mHeader(picture, "420jpeg", 29.97))).toBe(
    "YUV4MPEG2 W640 H480 F00029970:1000 Ip A1:1 C420jpeg\n",
  );
  expect(text(y4mFrameMark)).toBe("FRAME\n");
});

test("a YUV4MPEG2 header has the same length for every rate, so that it can be written again", () => {
  const usual = y4mHeader(picture, "mono").length;
  const rates = fc.oneof(
    fc.double({ min: 0, max: 1e9, noNaN: true }),
    fc.constantFrom(0, 1e-9, Number.POSITIVE_INFINITY, Number.MAX_VALUE),
  );
  fc.assert(
    fc.property(rates, (fps) => {
      const header = text(y4mHeader(picture, "mono", fps));
      expect(header.length).toBe(usual);
      expect(header).toMatch(/ F\d{8}:1000 /);
      expect(header).not.toContain("F00000000");
    }),
    { numRuns: 300 },
  );
});

test.each(formats.filter(({ y4m }) => y4m !== undefined))(
  "$name in YUV4MPEG2 is one of the colour spaces with that many bytes",
  (format) => {
    const bytes = { "420jpeg": 6, mono: 4 }[format.y4m ?? ""];
    expect(pictureBytes(format, 2, 2)).toBe(bytes as number);
    expect(format.components.map(({ plane }) => plane)).toEqual(format.components.map((_, i) => i));
  },
);

test.each(formats)(
  "the command that plays raw $name names format, size and rate",
  ({ name, ffmpeg }) => {
    const command = playCommand("out.raw", { ...picture, pixelformat: fourcc(name) }, 25);
    expect(command).toBe(
      `play it: ffplay -f rawvideo -pixel_format ${ffmpeg} -video_size 640x480 -framerate 25 out.raw`,
    );
  },
);

test("the command that plays YUV4MPEG2, an unknown format, stdout", () => {
  expect(playCommand("a.y4m", picture, 25)).toBe("play it: ffplay a.y4m");
  // NV12 has no YUV4MPEG2 form: the file holds raw frames whatever its name.
  expect(playCommand("a.y4m", { ...picture, pixelformat: fourcc("NV12") }, 0)).toBe(
    "play it: ffplay -f rawvideo -pixel_format nv12 -video_size 640x480 a.y4m",
  );
  expect(playCommand("a.mjpg", { ...picture, pixelformat: fourcc("MJPG") }, 25)).toBe(
    "play it: ffplay a.mjpg",
  );
  expect(playCommand("stdout", picture, 29.97002)).toContain("-framerate 29.97 -");
});

test("a shell takes the file name as one word, and ffplay as a file, whatever it is", () => {
  const name = fc.string({ minLength: 1, maxLength: 12, unit: "grapheme-ascii" });
  const mjpeg = { ...picture, pixelformat: fourcc("MJPG") };
  const odd = [
    "it's",
    "$(reboot)",
    "a b",
    "-loglevel",
    "http://x/",
    "pipe:0",
    "`x`",
    "é",
    "*",
    "~",
  ];
  const check = (path: string) => {
    if (path === "stdout") return;
    const command = playCommand(path, mjpeg, 0).replace("play it: ffplay ", "printf %s ");
    const { stdout } = Bun.spawnSync(["sh", "-c", command]);
    const word = stdout.toString();
    expect(word === path || word === `./${path}`).toBe(true);
    expect(word).not.toMatch(/^-|^[a-zA-Z0-9+.-]+:/);
  };
  for (const path of odd) check(path);
  fc.assert(fc.property(name, check), { numRuns: 60 });
});

test("every row's first component can be found in a picture of one pixel", () => {
  for (const { name, components } of formats) {
    const format = pixelFormatNamed(name);
    if (components.some(({ bits }) => bits !== undefined)) continue; // a byte is no component there
    if (format === undefined) throw new Error(name);
    const canvas = new Canvas(new Uint8Array(pictureBytes(format, 1, 1)).fill(128), format, 1, 1);
    expect(canvas.colourAt(0, 0).every((value) => value > 100 && value < 160)).toBe(true);
  }
});
