import { afterAll, beforeAll, expect, spyOn, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { openRecording } from "../../src/capture/recording.ts";
import { log } from "../../src/cli/log.ts";
import { SourceEnded, UnavailableError, UsageError } from "../../src/errors.ts";
import { fourcc } from "../../src/format/formats.ts";
import type { Source } from "../../src/frame/source.ts";
import { fileRate } from "../../src/output/rate.ts";
import { y4mFrameMark, y4mHeader } from "../../src/output/y4m.ts";
import { described, quiet, sentBytes } from "../support/camera-options.ts";
import { leftBehind, nothing } from "../support/resources.ts";

quiet();

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "framepass-test-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Writes a file of those parts and answers its path. */
function file(name: string, ...parts: readonly (string | Uint8Array)[]): string {
  const path = join(directory, name);
  writeFileSync(path, Buffer.concat(parts.map((part) => Buffer.from(part))));
  return path;
}

const picture = (n: number, length: number) =>
  Uint8Array.from({ length }, (_, i) => (n * 37 + i) & 0xff);
const wish = { width: 4, height: 2, format: "YUYV", buffers: 2, fps: 0 };

/** The bytes of the next `count` frames. */
function play(source: Source, count: number): Uint8Array[] {
  source.start();
  return Array.from({ length: count }, (_, n) => {
    using frame = source.next();
    if (frame === undefined) throw new Error("no frame");
    expect(frame.sequence).toBe(n);
    return Uint8Array.from(sentBytes(frame));
  });
}

test("a raw file is played picture by picture, in a loop", async () => {
  const path = file("three.raw", picture(0, 16), picture(1, 16), picture(2, 16));
  const left = await leftBehind("memfd", () => {
    using source = openRecording(path, wish);
    expect(described(source.picture)).toBe("4x2 YUYV 16");
    expect(source.name).toBe(path);
    const expected = [0, 1, 2, 0, 1, 2, 0].map((n) => picture(n, 16));
    expect(play(source, 7)).toEqual(expected);
  });
  expect(left).toEqual(nothing);
});

test.each([
  ["It", "top field first"],
  ["Ib", "bottom field first"],
  ["Im", "some of them"],
])(
  "YUV4MPEG2 with the tag %s is played with a warning that names the order of its fields",
  (tag, order) => {
    const path = file(
      "fields.y4m",
      `YUV4MPEG2 W4 H2 F25:1 ${tag} Cmono\n`,
      "FRAME\n",
      picture(0, 8),
    );
    using warned = spyOn(log, "warn");
    using source = openRecording(path, wish);
    expect(play(source, 2)).toEqual([picture(0, 8), picture(0, 8)]);
    expect(warned.mock.calls.map(String)).toEqual([
      `${path}: pictures are interlaced (${order}): moving edges show lines; ffmpeg -vf bwdif makes whole pictures`,
    ]);
  },
);

test.each(["Ip", "I?", "Iconstructor", "A1:1"])(
  "YUV4MPEG2 with the tag %s is played without a warning",
  (tag) => {
    const path = file(
      "whole.y4m",
      `YUV4MPEG2 W4 H2 F25:1 ${tag} Cmono\n`,
      "FRAME\n",
      picture(0, 8),
    );
    using warned = spyOn(log, "warn");
    using _source = openRecording(path, wish);
    expect(warned.mock.calls).toEqual([]);
  },
);

test("a raw file that is no whole number of pictures is refused with its sizes", () => {
  const path = file("cut.raw", picture(0, 16), picture(1, 16), picture(2, 9));
  expect(() => openRecording(path, wish)).toThrow(
    `${path}: 41 bytes are no whole number of 16-byte pictures (4x2 YUYV); give -W -H -f, or a .y4m`,
  );
  const large = file("large.raw", new Uint8Array(1_234_567));
  expect(() => openRecording(large, { ...wish, width: 640, height: 480 })).toThrow(
    "1,234,567 bytes are no whole number of 614,400-byte pictures (640x480 YUYV); give -W",
  );
});

test.each(["FILM.Y4M", "film.yuv", "film"])(
  "%s is YUV4MPEG2 by its first bytes, whatever its name",
  (name) => {
    const path = file(name, "YUV4MPEG2 W4 H2 F25:1 Cmono\n", "FRAME\n", picture(0, 8));
    using source = openRecording(path, wish);
    expect(described(source.picture)).toBe("4x2 GREY 8");
    expect(play(source, 2)).toEqual([picture(0, 8), picture(0, 8)]);
  },
);

test("a YUV4MPEG2 file that is cut anywhere is played as far as it is whole", () => {
  const parts = ["FRAME\n", picture(0, 8), "FRAME Ip\n", picture(1, 8), "FRAME\n", picture(2, 8)];
  const header = "YUV4MPEG2 W4 H2 F25:1 Cmono\n";
  const whole = Buffer.concat([header, ...parts].map((part) => Buffer.from(part)));
  const ends = [6, 9, 6].map((_, i, marks) =>
    marks.slice(0, i + 1).reduce((sum, bytes) => sum + bytes + 8, header.length),
  );
  for (let length = header.length; length <= whole.length; length++) {
    const path = file("cut.y4m", whole.subarray(0, length));
    const count = ends.filter((end) => end <= length).length;
    if (count === 0) expect(() => openRecording(path, wish)).toThrow("no whole picture in it");
    else {
      using source = openRecording(path, { ...wish, once: true });
      const expected = [0, 1, 2].slice(0, count).map((n) => picture(n, 8));
      expect(play(source, count)).toEqual(expected);
      expect(source.next()).toBeUndefined();
      expect(source.exhausted).toBe(true);
    }
  }
});

test("lines of YUV4MPEG2 may end in CR LF, and the colour space may be in a comment", () => {
  const path = file(
    "dos.y4m",
    "YUV4MPEG2 W2 H2 F25:1 XYSCSS=420JPEG\r\n",
    "FRAME\r\n",
    picture(0, 6),
    "FRAME\r\n",
    picture(1, 6),
  );
  using source = openRecording(path, wish);
  expect(described(source.picture)).toBe("2x2 YU12 6");
  expect(play(source, 2)).toEqual([picture(0, 6), picture(1, 6)]);
  const mono = file("mono.y4m", "YUV4MPEG2 W2 H2 XYSCSS=MONO\nFRAME\n", picture(0, 4));
  using grey = openRecording(mono, wish);
  expect(described(grey.picture)).toBe("2x2 GREY 4");
});

test("options that contradict a YUV4MPEG2 header are wrong usage", () => {
  const path = file("film.y4m", "YUV4MPEG2 W4 H2 Cmono\nFRAME\n", picture(0, 8));
  const open = (...given: string[]) => openRecording(path, { ...wish, given: new Set(given) });
  open("width", "height")[Symbol.dispose]();
  expect(() => open("format")).toThrow(UsageError);
  expect(() => open("format")).toThrow("has 4x2 GREY pictures, --format says YUYV; omit --format");
  const wide = { ...wish, width: 5, given: new Set(["width"]) };
  expect(() => openRecording(path, wide)).toThrow("--width says 5; omit --width");
  const planar = file("planar.y4m", "YUV4MPEG2 W4 H2\nFRAME\n", picture(0, 12));
  const twin = { ...wish, format: "YM12", given: new Set(["format"]) };
  openRecording(planar, twin)[Symbol.dispose]();
});

test.each([4, 5])("4:2:2 pictures of width %d are sent as YUYV with the same samples", (width) => {
  const chroma = Math.ceil(width / 2);
  const planes = picture(1, 2 * (width + 2 * chroma));
  const path = file("422.y4m", `YUV4MPEG2 W${width} H2 F25:1 C422\nFRAME\n`, planes);
  using source = openRecording(path, wish);
  expect(described(source.picture)).toBe(`${width}x2 YUYV ${8 * chroma}`);
  const [sent = new Uint8Array()] = play(source, 1);
  for (let y = 0; y < 2; y++)
    for (let x = 0; x < width; x++) {
      const at = y * 4 * chroma + 2 * x;
      expect(sent[at]).toBe(planes[y * width + x] ?? -1);
      const u = 2 * width + y * chroma + (x >> 1);
      expect(sent[at + 1]).toBe(planes[x % 2 === 0 ? u : u + 2 * chroma] ?? -1);
    }
});

test("a raw file of a format with separate memory planes is sent as its contiguous twin", () => {
  const path = file("planes.raw", picture(0, 12));
  using source = openRecording(path, { ...wish, format: "YM12" });
  expect(source.picture.pixelformat).toBe(fourcc("YU12"));
});

test.each([
  ["an empty file", ""],
  ["15 bytes of 16", picture(0, 15)],
] as const)("a raw file without a picture is refused: %s", async (_, content) => {
  const path = file("short.raw", content);
  const left = await leftBehind("memfd", () => {
    expect(() => openRecording(path, wish)).toThrow(UnavailableError);
    expect(() => openRecording(path, wish)).toThrow(
      /: \d+ bytes are no whole number of 16-byte pictures \(4x2 YUYV\); give -W -H -f, or a .y4m$/,
    );
  });
  expect(left).toEqual(nothing);
});

test("a raw file of an unknown format is wrong usage", () => {
  const path = file("some.raw", picture(0, 16));
  for (const format of ["MJPG", "YUYVX", ""]) {
    expect(() => openRecording(path, { ...wish, format })).toThrow(UsageError);
  }
});

test("a file that is missing is not available", () => {
  expect(() => openRecording(join(directory, "nothing.y4m"), wish)).toThrow(
    /^open .*nothing\.y4m: ENOENT .*; name a recording that can be read$/,
  );
});

test("a file that is cut while it is played ends the source; nothing faults", () => {
  const path = file("live.raw", picture(0, 16), picture(1, 16), picture(2, 16));
  using source = openRecording(path, wish);
  play(source, 2);
  truncateSync(path, 40);
  expect(() => source.next()).toThrow(/the file was cut while it was played$/);
  truncateSync(path, 0);
  expect(() => source.next()).toThrow(SourceEnded);
});

test("YUV4MPEG2 has size, format and rate in its header", () => {
  const frames = [0, 1].flatMap((n) => ["FRAME\n", picture(n, 6 * 4 + 2 * 3 * 2)]);
  const path = file(
    "two.y4m",
    "YUV4MPEG2 W6 H4 F30000:1001 Ip A1:1 C420jpeg Xanything\n",
    ...frames,
  );
  using source = openRecording(path, { ...wish, fps: undefined });
  expect(described(source.picture)).toBe("6x4 YU12 36");
  expect(source.fps).toBeCloseTo(29.97, 2);
  source.start();
  using frame = source.next();
  expect(frame && Uint8Array.from(sentBytes(frame))).toEqual(picture(0, 36));
});

test("parameters of a YUV4MPEG2 frame are skipped; frames may start anywhere", () => {
  const path = file(
    "parameters.y4m",
    "YUV4MPEG2 W4 H2 F25:1 Cmono\n",
    "FRAME\n",
    picture(0, 8),
    "FRAME Ip Xsomething=FRAME\n",
    picture(1, 8),
    "FRAME I?\n",
    picture(2, 8),
  );
  using source = openRecording(path, wish);
  expect(described(source.picture)).toBe("4x2 GREY 8");
  expect(play(source, 4)).toEqual([0, 1, 2, 0].map((n) => picture(n, 8)));
});

test.each(["", " C420", " C420jpeg", " C420mpeg2", " C420paldv"])(
  "colour space%s is 4:2:0",
  (tag) => {
    const path = file("space.y4m", `YUV4MPEG2 W2 H2 F25:1${tag}\nFRAME\n`, picture(0, 6));
    using source = openRecording(path, wish);
    expect(described(source.picture)).toBe("2x2 YU12 6");
  },
);

test("what the receiver writes as YUV4MPEG2 is what the sender reads", () => {
  const written = { width: 5, height: 3, pixelformat: fourcc("YU12"), sizeimage: 27 };
  const header = y4mHeader(written, "420jpeg", fileRate(12.5, 0));
  const path = file("own.y4m", header, y4mFrameMark, picture(0, 27), y4mFrameMark, picture(1, 27));
  using source = openRecording(path, { ...wish, fps: undefined });
  expect(source.picture).toEqual(written);
  expect(source.fps).toBe(12.5);
  source.start();
  using frame = source.next();
  expect(frame && Uint8Array.from(sentBytes(frame))).toEqual(picture(0, 27));
});

test.each([
  ["F0:0", 30],
  ["F25:0", 30],
  ["F0:1", 30],
  ["Fabc", 30],
  ["F4000000000:1", 30],
  ["F1:4000000000", 30],
  ["FInfinity:1", 30],
  ["F1e3:1", 30],
  ["F1:10", 0.1],
  ["F1000:1", 1000],
  ["", 30],
] as const)("the rate %s is taken as %d", (tag, fps) => {
  const path = file("rate.y4m", `YUV4MPEG2 W2 H2 ${tag}\nFRAME\n`, picture(0, 6));
  using source = openRecording(path, { ...wish, fps: undefined });
  expect(source.fps).toBe(fps);
  source.start();
  source.stop();
});

test("--fps overrides the header", () => {
  const path = file("faster.y4m", "YUV4MPEG2 W2 H2 F25:1\nFRAME\n", picture(0, 6));
  using source = openRecording(path, { ...wish, fps: 50 });
  expect(source.fps).toBe(50);
});

test("the last picture of a YUV4MPEG2 file that is cut short is not sent, and a warning says so", () => {
  const path = file(
    "cut.y4m",
    "YUV4MPEG2 W2 H2\n",
    "FRAME\n",
    picture(0, 6),
    "FRAME\n",
    picture(1, 5),
  );
  using warned = spyOn(log, "warn");
  using source = openRecording(path, wish);
  expect(warned.mock.calls.length).toBe(1);
  expect(play(source, 2)).toEqual([picture(0, 6), picture(0, 6)]);
});

const start = "YUV4MPEG2 W2 H2 F25:1\n";
test.each([
  ["", /no line at byte 0/],
  ["no line at all", /no line at byte 0/],
  [`YUV4MPEG2 W2 H2 ${"X".repeat(5000)}\n`, /no line at byte 0/],
  ["YUV4MPEG W2 H2\nFRAME\n......", /not a YUV4MPEG2 file/],
  ["YUV4MPEG2\nFRAME\n......", /with a size of 1 to 16384/],
  ["YUV4MPEG2 W0 H2\nFRAME\n......", /with a size of 1 to 16384/],
  ["YUV4MPEG2 W16385 H2\nFRAME\n......", /with a size of 1 to 16384/],
  ["YUV4MPEG2 W-2 H2\nFRAME\n......", /with a size of 1 to 16384/],
  ["YUV4MPEG2 W2.5 H2\nFRAME\n......", /with a size of 1 to 16384/],
  ["YUV4MPEG2 W0x2 H2\nFRAME\n......", /with a size of 1 to 16384/],
  ["YUV4MPEG2 W99999999999999999999 H2\nFRAME\n......", /with a size of 1 to 16384/],
  ["YUV4MPEG2 W2 H2 C444\nFRAME\n......", /colour space C444, only/],
  ["YUV4MPEG2 W2 H2 C420p10\nFRAME\n......", /colour space C420p10, only/],
  ["YUV4MPEG2 W2 H2 C\nFRAME\n......", /colour space C, only/],
  [start, /no whole picture in it/],
  [`${start}FRAME\n.....`, /no whole picture in it/],
  [`${start}FRAMES\n......`, /no FRAME at byte 22/],
  [`${start}FRAME\n......junk\n`, /no FRAME at byte 34/],
  [`${start}FRAME ${"X".repeat(5000)}\n......`, /no FRAME at byte 22/],
  ["YUV4MPEG2 W16384 H16384\nFRAME\n......", /no whole picture in it/],
])("%j is refused", async (text, reason) => {
  const path = file("bad.y4m", text);
  const left = await leftBehind("memfd", () => {
    expect(() => openRecording(path, wish)).toThrow(UnavailableError);
    expect(() => openRecording(path, wish)).toThrow(reason);
  });
  expect(left).toEqual(nothing);
});

/** Words of the format in any order, among noise. */
const hostile = fc.array(
  fc.oneof(
    fc.constantFrom(
      "YUV4MPEG2",
      " ",
      "\n",
      "FRAME",
      "FRAME\n",
      "W",
      "H",
      "F",
      "C420",
      "Cmono",
      ":",
    ),
    fc.constantFrom("YUV4MPEG2 W2 H2\nFRAME\n", "W2", "H1", "0", "-1", "\u0000", "é", "......"),
    fc.integer({ min: -5, max: 70_000 }).map(String),
    fc.string({ maxLength: 6 }),
  ),
  { maxLength: 20 },
);

test("a file with any content is a source or an error of one line", async () => {
  const path = join(directory, "random.y4m");
  const tryIt = (bytes: string | Uint8Array) => {
    writeFileSync(path, bytes);
    try {
      using source = openRecording(path, wish);
      const { width, height, sizeimage } = source.picture;
      expect(width * height).toBeLessThanOrEqual(sizeimage);
      play(source, 2);
    } catch (error) {
      expect(error instanceof UnavailableError || error instanceof UsageError).toBe(true);
      expect((error as Error).message).not.toContain("\n");
    }
  };
  const left = await leftBehind("memfd", () => {
    fc.assert(
      fc.property(hostile, (words) => tryIt(words.join(""))),
      { numRuns: 3000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), tryIt), { numRuns: 1000 });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (noise) =>
        tryIt(Buffer.concat([Buffer.from("YUV4MPEG2 W2 H2\nFRAME\n"), noise])),
      ),
      { numRuns: 1000 },
    );
  });
  expect(left).toEqual(nothing);
});
