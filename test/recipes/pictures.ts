// What another program has made of testsrc's pictures, also by lossy compression: which pictures they are, and whether their colours are right.
import type { Rgb } from "../../src/format/colour.ts";
import { type Pixels, wrongBars } from "../support/bars.ts";

/** The size of the page's sender. */
export const size = { width: 640, height: 480 } as const;

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Where the white square is in picture `n`: it moves five columns to the right with each picture, in 581 columns. */
const SPEED = 5;
const PLACES = 581;

/** A picture, with a number that equal pictures have in common. */
export interface Picture extends Pixels {
  readonly sum: bigint;
}

/** Decodes a file, or what `words` name, by ffmpeg: all its pictures, of `size`. */
export const decoded = (cwd: string, ...words: string[]): Promise<Picture[]> =>
  decodedAs(size, cwd, words);

/** The same for pictures of another size. */
export async function decodedAs(
  of: Size,
  cwd: string,
  words: readonly string[],
): Promise<Picture[]> {
  const frameBytes = of.width * of.height * 3;
  const to = ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"];
  const child = Bun.spawn(["ffmpeg", "-nostdin", "-v", "error", ...words, ...to], {
    cwd,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 30_000,
  });
  const [bytes, said, status] = await Promise.all([
    new Response(child.stdout).bytes(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (status !== 0) throw new Error(`ffmpeg ${words.join(" ")}: ${said}`);
  if (bytes.length % frameBytes !== 0) throw new Error(`${bytes.length} bytes of pictures`);
  return Array.from({ length: bytes.length / frameBytes }, (_, i) =>
    pictureOf(of, bytes.subarray(i * frameBytes, (i + 1) * frameBytes)),
  );
}

function pictureOf({ width, height }: Size, bytes: Uint8Array): Picture {
  return {
    width,
    height,
    sum: Bun.hash.wyhash(bytes),
    at(x, y): Rgb {
      const at = (y * width + x) * 3;
      return [bytes[at] ?? -1, bytes[at + 1] ?? -1, bytes[at + 2] ?? -1];
    },
  };
}

/** Where picture `number` has the left edge of its square. */
const edgeOf = (number: number) => (number * SPEED) % PLACES;

/** The left edge of the square in each picture. Throws when one of them has other colours than testsrc, or no square. */
export function edges(pictures: readonly Pixels[]): number[] {
  return pictures.map((picture, i) => {
    const wrong = wrongBars(picture, false);
    if (wrong !== undefined) throw new Error(`picture ${i}: ${wrong}`);
    const line = Math.floor(picture.height * 0.8);
    let left = 0;
    while (left < picture.width && picture.at(left, line)[1] < 128) left += 1;
    return left;
  });
}

/** Throws unless the pictures are testsrc's of these numbers. Chroma is halved, so an edge may be off by a pixel. */
export function expectNumbers(pictures: readonly Pixels[], numbers: readonly number[]): void {
  const found = edges(pictures);
  const right = numbers.every((number, i) => Math.abs(edgeOf(number) - (found[i] ?? -9)) <= 1);
  if (right && found.length === numbers.length) return;
  throw new Error(`squares at ${found}, must be at ${numbers.map(edgeOf)}`);
}

/** `count` numbers from `first` on. */
export const series = (count: number, first = 0) =>
  Array.from({ length: count }, (_, i) => first + i);
