// ffmpeg as the judge of every format's layout: it reads what a Canvas has drawn, and a Canvas reads what it has written.
// It knows the formats by the words of the ready-made play line, so these are judged as well.
import { expect, test } from "bun:test";
import { Canvas } from "../../src/format/canvas.ts";
import type { Rgb } from "../../src/format/colour.ts";
import { formats, type PixelFormat } from "../../src/format/formats.ts";
import { pictureBytes } from "../../src/format/picture-layout.ts";
import { Random } from "../support/random.ts";

interface Size {
  readonly width: number;
  readonly height: number;
}

/** The words of the play line: ffmpeg's name of the pixel format, then at most a filter ("-vf NAME"). */
function wordsOf({ ffmpeg }: PixelFormat): { readonly name: string; readonly filter: string[] } {
  const [name = "", ...filter] = ffmpeg.split(" ");
  return { name, filter: filter.slice(1) };
}

/** Runs ffmpeg on bytes; it answers bytes. */
function ffmpeg(words: readonly string[], input?: Uint8Array): Uint8Array {
  const command = ["ffmpeg", "-nostdin", "-hide_banner", "-v", "error", ...words];
  const { stdout, stderr, exitCode } = Bun.spawnSync(command, {
    stdin: input ?? "ignore",
    timeout: 20_000,
  });
  if (exitCode !== 0 || stderr.length > 0) throw new Error(`${command.join(" ")}: ${stderr}`);
  return stdout;
}

const raw = (name: string, { width, height }: Size) => [
  ...["-f", "rawvideo", "-pixel_format", name],
  ...["-video_size", `${width}x${height}`, "-i", "pipe:0"],
];
// No dithering and no interpolation of chroma: what is compared is where a value is.
const to = (name: string) => [
  ...["-sws_flags", "neighbor+accurate_rnd", "-sws_dither", "none"],
  ...["-pix_fmt", name, "-f", "rawvideo", "pipe:1"],
];

const filters = (list: readonly string[]) => (list.length === 0 ? [] : ["-vf", list.join(",")]);

/** The formats with a plane for each component that are sampled alike; `order` says which plane is which component. */
function planarOf({ model, components }: PixelFormat): { name: string; order: readonly number[] } {
  if (model === "grey") return { name: "gray", order: [0] };
  if (model === "rgb") return { name: "gbrp", order: [2, 0, 1] };
  return { name: components[1]?.down === 2 ? "yuv420p" : "yuv422p", order: [0, 1, 2] };
}

let known: string | undefined;

test.each(formats)("$name: ffmpeg knows the pixel format of the play line", (format) => {
  known ??= new TextDecoder().decode(ffmpeg(["-pix_fmts"]));
  const { name } = wordsOf(format);
  expect(known.match(new RegExp(`^I\\S+ +${name} +(\\d)`, "m"))?.[1]).toBe(
    String(format.components.length),
  );
});

test.each(
  formats.flatMap((format) => [
    { format, name: format.name, width: 64, height: 48 },
    { format, name: format.name, width: 35, height: 27 },
  ]),
)("$name $width x $height: ffmpeg finds every drawn sample in its place", ({ format, ...size }) => {
  const { width, height } = size;
  const bytes = new Uint8Array(pictureBytes(format, width, height));
  const canvas = new Canvas(bytes, format, width, height);
  const random = new Random(width);
  const drawn: Rgb[] = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const values: Rgb = [random.below(256), random.below(256), random.below(256)];
      drawn.push(values);
      canvas.fill(x, y, 1, 1, values);
    }
  }
  const { name, filter } = wordsOf(format);
  const planar = planarOf(format);
  const found = ffmpeg([...raw(name, size), ...filters(filter), ...to(planar.name)], bytes);
  let at = 0;
  for (const c of [...planar.order.keys()].map((plane) => planar.order.indexOf(plane))) {
    const { across = 1, down = 1, bits } = format.components[c] ?? {};
    for (let y = 0; y < height; y += down) {
      for (let x = 0; x < width; x += across) {
        const value = drawn[y * width + x]?.[c] ?? 0;
        const got = found[at++] ?? -1;
        // Of a value with fewer than eight bits ffmpeg leaves the upper bits as they are. One with more it rounds.
        const count = Math.min(8, bits?.count ?? 8);
        if (bits !== undefined && bits.count > 8) {
          expect(Math.abs(got - value), `component ${c} at ${x},${y}`).toBeLessThanOrEqual(1);
          continue;
        }
        const want = Math.round((value * ((1 << count) - 1)) / 255);
        expect(got >> (8 - count), `component ${c} at ${x},${y}`).toBe(want);
      }
    }
  }
  expect(found.length).toBe(at);
});

const side = 8;
const colours: readonly Rgb[] = [
  [255, 255, 255],
  [255, 0, 0],
  [0, 255, 0],
  [0, 0, 255],
  [200, 120, 40],
  [30, 90, 220],
  [128, 128, 128],
  [0, 0, 0],
];

test.each(formats)("$name: a picture that ffmpeg wrote has its colours", (format) => {
  const size = { width: side * colours.length, height: side * 2 };
  const picture = new Uint8Array(size.width * size.height * 3);
  const grey = format.model === "grey";
  const colourOf = (x: number): Rgb => {
    const colour = colours[Math.floor(x / side)] ?? [0, 0, 0];
    return grey ? [colour[2], colour[2], colour[2]] : colour;
  };
  for (let i = 0; i < size.width * size.height; i++) picture.set(colourOf(i % size.width), i * 3);
  const { name, filter } = wordsOf(format);
  // The play line's filter works on the format, so the conversion comes first.
  const converting = filters([`format=${name}`, ...filter]);
  const bytes = ffmpeg([...raw("rgb24", size), ...converting, ...to(name)], picture);
  expect(bytes.length).toBe(pictureBytes(format, size.width, size.height));
  const canvas = new Canvas(Uint8Array.from(bytes), format, size.width, size.height);
  for (let x = 0; x < size.width; x++) {
    for (let y = 0; y < size.height; y++) {
      // ffmpeg's grey has the full range of values, a camera's the range of video: its values are compared as they are.
      const read = grey ? greyAt(format, bytes, y * size.width + x) : undefined;
      const found = read === undefined ? canvas.colourAt(x, y) : [read, read, read];
      const apart = colourOf(x).map((value, c) => Math.abs(value - (found[c] ?? -1)));
      expect(Math.max(...apart), `${found} at ${x},${y}`).toBeLessThanOrEqual(tolerance(format));
    }
  }
});

/** The upper eight bits of grey pixel `i`. */
function greyAt({ components }: PixelFormat, bytes: Uint8Array, i: number): number {
  const { count } = components[0]?.bits ?? {};
  if (count === undefined) return bytes[i] ?? -1;
  return ((bytes[2 * i] ?? 0) | ((bytes[2 * i + 1] ?? 0) << 8)) >> (count - 8);
}

/**
 * Half a step of Y (1.16) and of Cb (2.02) on each side, and the rounding of the result; a step of five bits where
 * a component has no more, because ffmpeg cuts the bits off.
 */
const tolerance = ({ model, components }: PixelFormat) => {
  const { bits } = components[0] ?? {};
  if (bits !== undefined && bits.count < 8) return 256 / (1 << bits.count) + 1;
  if (model === "yuv") return 4;
  return bits === undefined ? 0 : 1; // ffmpeg rounds where it makes more bits
};
