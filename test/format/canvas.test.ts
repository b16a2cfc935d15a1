import { expect, test } from "bun:test";
import fc from "fast-check";
import { Canvas } from "../../src/format/canvas.ts";
import { defaultMatrix, matrices, type Rgb, toRgb, toYuv } from "../../src/format/colour.ts";
import { formats, type PixelFormat, pixelFormatNamed } from "../../src/format/formats.ts";
import { pictureBytes } from "../../src/format/picture-layout.ts";

/** Limited range has fewer steps than RGB, five bits still fewer: what comes back is off by this much at most. */
const tolerance = ({ components }: PixelFormat) =>
  components.some(({ bits }) => bits !== undefined) ? 5 : 3;

const apart = (a: Rgb, b: Rgb) => Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? 0))));

function canvas(name: string, width: number, height: number): Canvas {
  const format = pixelFormatNamed(name);
  if (format === undefined) throw new Error(`no format ${name}`);
  return new Canvas(new Uint8Array(pictureBytes(format, width, height)), format, width, height);
}

const byte = fc.integer({ min: 0, max: 255 });
const colours = fc.tuple(byte, byte, byte);

test.each(formats)("$name: a colour that is painted is read back", (format) => {
  const { name, model } = format;
  for (const [width, height] of [
    [8, 6],
    [7, 5],
    [1, 1],
    [2, 578], // BT.709
  ] as const) {
    const picture = canvas(name, width, height);
    fc.assert(
      fc.property(colours, (colour) => {
        picture.fill(0, 0, width, height, picture.encode(colour));
        const grey = toYuv(colour, defaultMatrix)[0];
        const expected: Rgb =
          model === "grey" ? toRgb(grey, 128, 128, defaultMatrix) : (colour as Rgb);
        for (const [x, y] of [
          [0, 0],
          [width - 1, 0],
          [0, height - 1],
          [width - 1, height - 1],
        ] as const) {
          expect(apart(picture.colourAt(x, y), expected)).toBeLessThanOrEqual(tolerance(format));
        }
      }),
      { numRuns: 60 },
    );
  }
});

test.each(formats)(
  "$name: every pixel of a picture of squares has its square's colour",
  (format) => {
    const { name, model } = format;
    const side = 4;
    const picture = canvas(name, 16, 12);
    const colourOf = (x: number, y: number): Rgb => {
      const n = Math.floor(y / side) * 4 + Math.floor(x / side);
      return model === "grey" ? [n * 20, n * 20, n * 20] : [n * 20, 255 - n * 20, (n * 90) % 256];
    };
    for (let y = 0; y < 12; y += side) {
      for (let x = 0; x < 16; x += side) {
        picture.fill(x, y, side, side, picture.encode(colourOf(x, y)));
      }
    }
    const rgb = picture.toRgb();
    expect(rgb.length).toBe(16 * 12 * 3);
    for (let y = 0; y < 12; y++) {
      for (let x = 0; x < 16; x++) {
        const at = (y * 16 + x) * 3;
        const found: Rgb = [rgb[at] ?? 0, rgb[at + 1] ?? 0, rgb[at + 2] ?? 0];
        expect(apart(found, colourOf(x, y)), `${x},${y}`).toBeLessThanOrEqual(tolerance(format));
        expect(found).toEqual([...picture.colourAt(x, y)] as unknown as Rgb);
      }
    }
  },
);

test.each(formats)("$name: painting stays inside the picture, whatever the rectangle", (format) => {
  const [width, height] = [7, 5];
  const needs = pictureBytes(format, width, height);
  const memory = new Uint8Array(needs + 64).fill(0xa5);
  const picture = new Canvas(memory.subarray(32, 32 + needs), format, width, height);
  const side = fc.integer({ min: 0, max: 40 });
  fc.assert(
    fc.property(side, side, side, side, (x, y, across, down) => {
      picture.fill(x, y, across, down, [1, 2, 3]);
      expect(memory.subarray(0, 32).every((value) => value === 0xa5)).toBe(true);
      expect(memory.subarray(32 + needs).every((value) => value === 0xa5)).toBe(true);
    }),
    { numRuns: 100 },
  );
});

test("white, black and the primaries are the values the standards give them", () => {
  const sd = matrices.bt601;
  const hd = matrices.bt709;
  expect(toYuv([255, 255, 255], sd)).toEqual([235, 128, 128]);
  expect(toYuv([0, 0, 0], hd)).toEqual([16, 128, 128]);
  expect(toYuv([255, 0, 0], sd)).toEqual([81, 90, 240]); // BT.601
  expect(toYuv([0, 255, 0], sd)).toEqual([145, 54, 34]);
  expect(toYuv([0, 0, 255], sd)).toEqual([41, 240, 110]);
  expect(toYuv([255, 0, 0], hd)).toEqual([63, 102, 240]); // BT.709
  expect(toYuv([0, 255, 0], hd)).toEqual([173, 42, 26]);
  expect(toYuv([0, 0, 255], hd)).toEqual([32, 240, 118]);
});

test("any Y, Cb and Cr, in range or not, gives a colour from 0 to 255", () => {
  fc.assert(
    fc.property(byte, byte, byte, fc.constantFrom(...Object.values(matrices)), (y, cb, cr, by) => {
      for (const value of toRgb(y, cb, cr, by)) {
        expect(Number.isInteger(value) && value >= 0 && value <= 255).toBe(true);
      }
    }),
    { numRuns: 1000 },
  );
});

test("a canvas on too few bytes is refused", () => {
  const format = pixelFormatNamed("NV12");
  if (format === undefined) throw new Error("no NV12");
  expect(() => new Canvas(new Uint8Array(95), format, 8, 8)).toThrow(RangeError);
  expect(() => new Canvas(new Uint8Array(96), format, 8, 8)).not.toThrow();
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
