// How rows lie in a frame, and the planes that are made of them.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { addressOf } from "../../ffi/libc.ts";
import { formats, type PixelFormat, pixelFormatNamed } from "../../src/format/formats.ts";
import { layoutOf, pictureBytes } from "../../src/format/picture-layout.ts";
import { fromPlanar, PlanarCopy, planarBytes, wordView } from "../../src/format/planar.ts";
import { type PlaneRows, rowsOf } from "../../src/format/rows.ts";
import { Random } from "../support/random.ts";

const row = (name: string): PixelFormat => {
  const format = pixelFormatNamed(name);
  if (format === undefined) throw new Error(name);
  return format;
};
const strides = (name: string, width: number, height: number, bytes: number) => {
  const rows = rowsOf(row(name), width, height, bytes);
  return Array.isArray(rows) ? rows.map(({ stride }: PlaneRows) => stride) : rows;
};

test.each([
  ["YUYV", 640, 480, 614_400, [1280]],
  ["YUYV", 640, 480, 614_399, "short"],
  ["YUYV", 640, 480, 1344 * 480, [1344]],
  ["NV12", 640, 480, (704 * 480 * 3) / 2, [704, 704]],
  ["YU12", 640, 480, (704 * 480 * 3) / 2, [704, 352, 352]],
  // The whole buffer is rounded up to pages; rows are as they are, or rounded up as well.
  ["YU12", 64, 48, 8192, [64, 32, 32]],
  ["YUYV", 100, 100, 28_672, [256]],
  ["GREY", 33, 17, 48 * 17, [48]],
  // Rows of an odd width: those of the chroma are as long as V4L2 says, not in proportion to their samples.
  ["NV12", 175, 143, 192 * 143 + 192 * 72, [192, 192]],
  ["YU12", 175, 143, 192 * 143 + 2 * 96 * 72, [192, 96, 96]],
  ["YU12", 35, 27, 4096, [35, 18, 18]],
  ["NV12", 175, 143, 45_056, [192, 192]],
  ["YUYV", 64, 48, 6144 + 100, undefined],
  ["YUYV", 64, 48, 1 << 20, undefined],
  ["NV12", 640, 480, 460_800 + 720, undefined],
] as const)("%s %d x %d in %d bytes has rows of %j", (name, width, height, bytes, expected) => {
  expect(strides(name, width, height, bytes)).toEqual(expected as never);
});

test("whatever the length, all rows are inside the frame and do not overlap", () => {
  const any = fc.constantFrom(...formats.map(({ name }) => name));
  const size = fc.integer({ min: 1, max: 200 });
  fc.assert(
    fc.property(any, size, size, fc.nat(200_000), (name, width, height, more) => {
      const format = row(name);
      const bytes = pictureBytes(format, width, height) + more;
      const rows = rowsOf(format, width, height, bytes);
      if (rows === undefined) return;
      let end = 0;
      for (const { offset, rowBytes, rows: count, stride } of rows as readonly PlaneRows[]) {
        expect(offset).toBeGreaterThanOrEqual(end);
        expect(stride).toBeGreaterThanOrEqual(rowBytes);
        end = offset + stride * (count - 1) + rowBytes;
      }
      expect(end).toBeLessThanOrEqual(bytes);
    }),
    { numRuns: 2000 },
  );
});

/** ffmpeg's planes of a picture. */
function ffmpegPlanes(format: PixelFormat, width: number, height: number, bytes: Uint8Array) {
  const [name = "", ...filter] = format.ffmpeg.split(" ");
  const to = { "422": "yuv422p", "420jpeg": "yuv420p", mono: "gray" }[format.y4m ?? ""] ?? "";
  const { stdout, exitCode } = Bun.spawnSync(
    [
      ...["ffmpeg", "-nostdin", "-v", "error", "-f", "rawvideo", "-pixel_format", name],
      ...["-video_size", `${width}x${height}`, "-i", "pipe:0", ...filter],
      ...["-sws_flags", "neighbor+accurate_rnd", "-sws_dither", "none"],
      ...["-pix_fmt", to, "-f", "rawvideo", "pipe:1"],
    ],
    { stdin: bytes, timeout: 20_000 },
  );
  expect(exitCode).toBe(0);
  return new Uint8Array(stdout);
}

const withPlanes = formats.filter(({ y4m }) => y4m !== undefined);

test.each(withPlanes.flatMap((format) => [64, 35].map((width) => ({ ...format, width }))))(
  "$name of width $width has ffmpeg's planes, also with padded rows, and comes back as it was",
  ({ width, ...format }) => {
    const height = 26;
    const random = new Random(width);
    const tight = layoutOf(format, width, height);
    const size = pictureBytes(format, width, height);
    const picture = Uint8Array.from({ length: size }, () => random.below(256));
    const planes = new Uint8Array(new ArrayBuffer(planarBytes(format, width, height)));
    const copy = new PlanarCopy(format, width, height, planes);
    const put = (bytes: Uint8Array<ArrayBuffer>) => {
      planes.fill(0);
      const rows = rowsOf(format, width, height, bytes.length);
      copy.copy(rows as readonly PlaneRows[], wordView(addressOf(bytes), bytes));
      return planes.slice();
    };
    const expected = ffmpegPlanes(format, width, height, picture);
    expect(put(picture)).toEqual(expected);
    const even = width + (width % 2); // rows of all planes are padded as V4L2 pads those of an even width
    const wide = layoutOf(format, even, height);
    const padded = new Uint8Array(new ArrayBuffer(pictureBytes(format, even, height) * 3)).fill(99);
    for (const [i, { offset, rowBytes, rows }] of tight.entries())
      for (let y = 0; y < rows; y++) {
        const { offset: start, rowBytes: least } = wide[i] as (typeof wide)[number];
        const from = offset + y * rowBytes;
        padded.set(picture.subarray(from, from + rowBytes), 3 * (start + y * least));
      }
    expect(put(padded)).toEqual(expected);
    // Unaligned memory takes the slow way.
    const shifted = new Uint8Array(new ArrayBuffer(size + 1)).subarray(1);
    shifted.set(picture);
    expect(put(shifted)).toEqual(expected);
    const back = new Uint8Array(size);
    fromPlanar(format, width, height, planes, back);
    if (width % 2 === 0) expect(back).toEqual(picture);
    else {
      const [start] = back;
      expect(start).toBe(picture[0] as number);
      expect(put(new Uint8Array(back.buffer))).toEqual(expected);
    }
  },
);
