// YUV4MPEG2 and the command that plays what was written.
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import fc from "fast-check";
import { UsageError } from "../../src/errors.ts";
import { formats, fourcc } from "../../src/format/formats.ts";
import { pictureBytes } from "../../src/format/picture-layout.ts";
import { planarBytes } from "../../src/format/planar.ts";
import { checkOutputName, playCommand } from "../../src/output/play.ts";
import { fileRate } from "../../src/output/rate.ts";
import { y4mFrameMark, y4mHeader } from "../../src/output/y4m.ts";
import { TempDir } from "../support/tool.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

const picture = { width: 640, height: 480, pixelformat: fourcc("YU12"), sizeimage: 460_800 };

test("a YUV4MPEG2 header names size, rate and colour space; a frame begins with its mark", () => {
  expect(text(y4mHeader(picture, "420jpeg", fileRate(29.97, 20e6)))).toBe(
    "YUV4MPEG2 W640 H480 F00030000:1001 Ip A1:1 C420jpeg\n",
  );
  expect(text(y4mHeader(picture, "422", fileRate(7.2, 20e6)))).toBe(
    "YUV4MPEG2 W640 H480 F00007200:1000 Ip A1:1 C422\n",
  );
  expect(text(y4mFrameMark)).toBe("FRAME\n");
});

test("a YUV4MPEG2 header has the same length for every rate, so that it can be rewritten", () => {
  const usual = y4mHeader(picture, "mono").length;
  const rates = fc.oneof(
    fc.double({ min: 0, max: 1e9, noNaN: true }),
    fc.constantFrom(0, 1e-9, Number.POSITIVE_INFINITY, Number.MAX_VALUE),
  );
  fc.assert(
    fc.property(rates, (fps) => {
      const header = text(y4mHeader(picture, "mono", fileRate(fps, 1e6)));
      expect(header.length).toBe(usual);
      expect(header).toMatch(/ F\d{8}:100[01] /);
      expect(header).not.toContain("F00000000");
    }),
    { numRuns: 300 },
  );
});

test.each(formats.filter(({ y4m }) => y4m !== undefined))(
  "$name in YUV4MPEG2 is one of the colour spaces with that many bytes",
  (format) => {
    const bytes = { "420jpeg": 6, "422": 8, mono: 4 }[format.y4m ?? ""];
    expect(pictureBytes(format, 2, 2)).toBe(bytes as number);
    expect(planarBytes(format, 2, 2)).toBe(bytes as number);
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
  // RGB3 has no YUV4MPEG2 form: the file holds raw frames whatever its name.
  expect(playCommand("a.y4m", { ...picture, pixelformat: fourcc("RGB3") }, 0)).toBe(
    "play it: ffplay -f rawvideo -pixel_format rgb24 -video_size 640x480 a.y4m",
  );
  expect(playCommand("a.mjpg", { ...picture, pixelformat: fourcc("MJPG") }, 25)).toBe(
    "play it: ffplay -f mjpeg a.mjpg",
  );
  // ffplay does not know these.
  for (const name of ["AR24", "GRBG", "Z16"])
    expect(playCommand("a.raw", { ...picture, pixelformat: fourcc(name) }, 25)).toBeUndefined();
  expect(playCommand("stdout", picture, 29.97002)).toContain("-framerate 29.97 -");
});

test("any file name is one word to a shell and a file to ffplay", () => {
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
    const command = `${playCommand(path, mjpeg, 0)}`.replace(/^.*-f mjpeg /, "printf %s ");
    const { stdout } = Bun.spawnSync(["sh", "-c", command]);
    const word = stdout.toString();
    expect(word === path || word === `./${path}`).toBe(true);
    expect(word).not.toMatch(/^-|^[a-zA-Z0-9+.-]+:/);
  };
  for (const path of odd) check(path);
  fc.assert(fc.property(name, check), { numRuns: 60 });
});

test.each([
  [30.1, 1e6, 30, 1000],
  [29.8, 1e6, 30, 1000],
  [29.7, 1e6, 30, 1000],
  [29.69, 1e6, 29.69, 1000],
  [29.97, 5e6, 30, 1000],
  [29.97, 60e6, 30, 1001],
  [23.976, 60e6, 24, 1001],
  [12.52, 60e6, 12.5, 1000],
  [59.94, 60e6, 60, 1001],
  [0.5, 60e6, 0.5, 1000],
] as const)("%d fps measured over %d us is written as %d/%d", (fps, spanUs, rate, scale) => {
  expect(fileRate(fps, spanUs)).toEqual({ frames: Math.round(rate * 1000), scale });
});

test.each([
  "x.mp4",
  "X.MKV",
  "a/b.avi",
  "it's.webm",
  "x.m2ts",
  "x.nut",
  "x.jpg",
  "-x.png",
  "x.tga",
])("raw frames are not written under the name %s; the text has the pipe that makes one", (name) => {
  expect(() => checkOutputName(name)).toThrow(UsageError);
  const ending = name.split(".")[1]?.toLowerCase();
  using temp = new TempDir();
  const pipe = (() => {
    try {
      checkOutputName(name.replace("a/", ""));
    } catch (error) {
      return /-o - \| (ffmpeg .*) \(here for 640x480 YUYV\)$/.exec((error as Error).message)?.[1];
    }
    return undefined;
  })();
  const frames = new Uint8Array(640 * 480 * 2 * 3).fill(90);
  const { exitCode, stderr } = Bun.spawnSync(["sh", "-c", `${pipe}`], {
    cwd: temp.path,
    stdin: frames,
    timeout: 20_000,
  });
  expect({ exitCode, text: exitCode === 0 ? "" : stderr.toString() }).toEqual({
    exitCode: 0,
    text: "",
  });
  const [made = ""] = readdirSync(temp.path);
  expect(made.toLowerCase()).toEndWith(`.${ending}`);
  const probe = Bun.spawnSync(["ffprobe", "-v", "error", "-show_streams", temp.file(made)]);
  expect(probe.stdout.toString()).toContain("width=640");
});

test("other names are for raw frames", () => {
  for (const name of ["x", "x.raw", "x.y4m", "x.yuv", "x.mjpg", "a.mp4/x", "-", "x.mp4.raw"])
    expect(() => checkOutputName(name)).not.toThrow();
});
