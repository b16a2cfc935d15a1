// Finds the colour bars of testsrc in a picture of the screen.
import { barColours } from "../../src/capture/testsrc.ts";
import { defaultMatrix, type Rgb, toYuv } from "../../src/format/colour.ts";

/** SDL's integer arithmetic, limited range rounding and JPEG stay within this distance of the colour, per channel. */
export const TOLERANCE = 6;

export interface Pixels {
  readonly width: number;
  readonly height: number;
  at(x: number, y: number): Rgb;
}

/** The picture's place in the pixels. */
export interface Area {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Answers what differs, or undefined. Looks at seven columns of five places each in the upper two thirds, and, in the
 * lower quarter, where a white square moves on black, at both colours.
 */
export function wrongBars(
  pixels: Pixels,
  grey: boolean,
  area?: Area,
  tolerance = TOLERANCE,
): string | undefined {
  const { x, y, width, height } = area ?? { x: 0, y: 0, ...sizeOf(pixels) };
  for (const [i, colour] of barColours.entries()) {
    const expected: Rgb = grey ? greyOf(colour) : colour;
    for (const across of [0.2, 0.5, 0.8]) {
      for (const down of [0.02, 0.2, 0.4, 0.55, 0.65]) {
        const px = Math.floor(x + ((i + across) * width) / barColours.length);
        const py = Math.floor(y + down * height);
        const wrong = difference(pixels.at(px, py), expected, tolerance);
        if (wrong !== undefined) return `bar ${i} at ${px},${py}: ${wrong}`;
      }
    }
  }
  let black = 0;
  let white = 0;
  const line = Math.floor(y + height * 0.76 + height * 0.04);
  for (let px = x; px < x + width; px += 2) {
    const [r, g, b] = pixels.at(Math.floor(px), line);
    if (Math.max(r, g, b) <= tolerance) black += 1;
    if (Math.min(r, g, b) >= 255 - tolerance) white += 1;
  }
  const whole = Math.floor(width / 2);
  if (white < whole / 20 || black < whole / 2)
    return `the square's track has ${white} white and ${black} black of ${whole} pixels`;
  return undefined;
}

const sizeOf = ({ width, height }: Pixels) => ({ width, height });

function greyOf(colour: Rgb): Rgb {
  const [luma] = toYuv(colour, defaultMatrix);
  const level = Math.round(((luma - 16) * 255) / 219);
  return [level, level, level];
}

/** How two colours differ by more than the tolerance, in words. */
export function difference(got: Rgb, expected: Rgb, tolerance = TOLERANCE): string | undefined {
  const near = got.every((value, c) => Math.abs(value - (expected[c] ?? 0)) <= tolerance);
  return near ? undefined : `${got.join(" ")}, must be ${expected.join(" ")} (+-${tolerance})`;
}
