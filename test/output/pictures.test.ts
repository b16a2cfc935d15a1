// YUV4MPEG2 and the command that plays what was written.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { formats, fourcc } from "../../src/format/formats.ts";
import { pictureBytes } from "../../src/format/picture-layout.ts";
import { playCommand } from "../../src/output/play.ts";
import { y4mFrameMark, y4mHeader } from "../../src/output/y4m.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

const picture = { width: 640, height: 480, pixelformat: fourcc("YU12"), sizeimage: 460_800 };

test("a YUV4MPEG2 header names size, rate and colour space; a frame begins with its mark", () => {
  expect(text(y4mHeader(picture, "420jpeg", 29.97))).toBe(
    "YUV4MPEG2 W640 H480 F00029970:1000 Ip A1:1 C420jpeg\n",
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
    const command = playCommand(path, mjpeg, 0).replace("play it: ffplay ", "printf %s ");
    const { stdout } = Bun.spawnSync(["sh", "-c", command]);
    const word = stdout.toString();
    expect(word === path || word === `./${path}`).toBe(true);
    expect(word).not.toMatch(/^-|^[a-zA-Z0-9+.-]+:/);
  };
  for (const path of odd) check(path);
  fc.assert(fc.property(name, check), { numRuns: 60 });
});
