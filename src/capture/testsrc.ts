// The built-in source: colour bars or a gradient with a moving square, every picture stamped (format/stamp.ts).
import { nearest, probablyMeant } from "../cli/suggest.ts";
import { UsageError } from "../errors.ts";
import { Canvas } from "../format/canvas.ts";
import type { Rgb } from "../format/colour.ts";
import { formats, fourcc, pixelFormatNamed } from "../format/formats.ts";
import { pictureBytes } from "../format/picture-layout.ts";
import { STAMP_BYTES, StampedBuffer } from "../format/stamp.ts";
import type { Allocator, FrameBuffer } from "../frame/memory.ts";
import type { Source } from "../frame/source.ts";
import type { CaptureWish } from "./negotiate.ts";
import { type Fill, PacedSource } from "./paced.ts";

/** The 75 % bars of SMPTE EG 1, left to right. */
export const barColours: readonly Rgb[] = [
  [191, 191, 191],
  [191, 191, 0],
  [0, 191, 191],
  [0, 191, 0],
  [191, 0, 191],
  [191, 0, 0],
  [0, 0, 191],
];
const BLACK: Rgb = [0, 0, 0];
const WHITE: Rgb = [255, 255, 255];
/** The strip under the bars, in the same columns. */
const stripColours: readonly Rgb[] = [6, -1, 4, -1, 2, -1, 0].map((i) => barColours[i] ?? BLACK);

/** The test pictures by name; the first is the default. */
const patterns = new Map<string, (canvas: Canvas, height: number) => void>([
  ["bars", paintBars],
  ["gradient", paintGradient],
]);
export const patternNames = [...patterns.keys()];

/** The square moves in a black strip at the bottom; the strip is the height divided by this. */
const TRACK = 4;

/** Opens `testsrc` or `testsrc:PATTERN`. With `fps` 0 there is always a next frame. Throws UsageError. */
export function openTestSource(
  device: string,
  wish: CaptureWish & { readonly buffers: number; readonly allocator?: Allocator | undefined },
): Source & { readonly buffers: readonly FrameBuffer[] } {
  const pattern = /^testsrc:(.*)$/.exec(device)?.[1] ?? "bars";
  const paint = patterns.get(pattern);
  if (paint === undefined) {
    throw new UsageError(
      `--device testsrc has the patterns ${patternNames.join(", ")}, got "${pattern}"`,
    );
  }
  const format = pixelFormatNamed(wish.format);
  if (format === undefined || format.sentAs !== undefined) {
    const known = formats.filter((row) => row.sentAs === undefined).map((row) => row.name);
    const meant = probablyMeant(nearest(wish.format, known));
    throw new UsageError(`testsrc makes ${known.join(", ")}, got --format ${wish.format}${meant}`);
  }
  const { width, height } = wish;
  const sizeimage = pictureBytes(format, width, height);
  if (sizeimage <= STAMP_BYTES) {
    throw new UsageError(
      `testsrc needs more than ${STAMP_BYTES} bytes a picture, ${width}x${height} ${format.name} has ${sizeimage}`,
    );
  }
  return new PacedSource({
    name: `testsrc:${pattern}`,
    picture: { width, height, pixelformat: fourcc(format.name), sizeimage },
    buffers: wish.buffers,
    fps: wish.fps ?? 30,
    allocator: wish.allocator,
    prepare: (buffers) =>
      painter(
        buffers.map(({ mapping }) => new Canvas(mapping.bytes, format, width, height)),
        paint,
        sizeimage,
      ),
  });
}

/**
 * Paints the picture once; per frame only the square moves and the stamp changes. The square is where it was before after
 * so many frames, and the picture is the same again: each CRC is computed once.
 */
function painter(
  canvases: readonly Canvas[],
  paint: (canvas: Canvas, height: number) => void,
  sizeimage: number,
): Fill {
  const { width = 0, height = 0 } = canvases[0] ?? {};
  const track = Math.max(1, Math.floor(height / TRACK));
  const top = height - track;
  const side = Math.max(1, Math.min(track, width, Math.floor(height / 8)));
  const places = Math.max(1, width - side + 1);
  const speed = Math.max(2, Math.floor(width / 120));
  const black = canvases[0]?.encode(BLACK) ?? BLACK;
  const white = canvases[0]?.encode(WHITE) ?? WHITE;
  const stamps = canvases.map(({ bytes }) => new StampedBuffer(bytes as Uint8Array<ArrayBuffer>));
  const left = new Array<number>(canvases.length).fill(0);
  const [first] = canvases;
  if (first !== undefined) {
    paint(first, top);
    first.fill(0, top, width, track, black);
    first.fill(0, top, side, side, white);
    for (const canvas of canvases) if (canvas !== first) canvas.bytes.set(first.bytes);
  }
  const still = first?.rowOffset(top) ?? 0;
  const crcOfStill = stamps[0]?.crcTo(still) ?? 0;
  const UNKNOWN = -1;
  const crcs = new Float64Array(places).fill(UNKNOWN);
  return (index, sequence) => {
    const [canvas, stamp] = [canvases[index], stamps[index]];
    if (canvas === undefined || stamp === undefined) return 0;
    const x = (sequence * speed) % places;
    moveSquare(canvas, left[index] ?? 0, x);
    left[index] = x;
    let crc = crcs[x] ?? UNKNOWN;
    if (crc === UNKNOWN) {
      crc = stamp.crcFrom(still, crcOfStill);
      crcs[x] = crc;
    }
    stamp.write(sequence, crc);
    return sizeimage;
  };

  /** Paints what the square leaves and what it reaches. */
  function moveSquare(canvas: Canvas, from: number, to: number): void {
    const leaves = Math.min(side, Math.abs(to - from));
    if (to > from) {
      canvas.fill(from, top, leaves, side, black);
      canvas.fill(to + side - leaves, top, leaves, side, white);
    } else {
      canvas.fill(from + side - leaves, top, leaves, side, black);
      canvas.fill(to, top, leaves, side, white);
    }
  }
}

function paintBars(canvas: Canvas, height: number): void {
  const { width } = canvas;
  const split = Math.floor((height * 8) / 9);
  const edge = (i: number) => Math.floor((i * width) / barColours.length);
  for (const [i, colour] of barColours.entries()) {
    const across = edge(i + 1) - edge(i);
    canvas.fill(edge(i), 0, across, split, canvas.encode(colour));
    canvas.fill(edge(i), split, across, height - split, canvas.encode(stripColours[i] ?? BLACK));
  }
}

/** Red grows from left to right, green from top to bottom; blue is what is left of 255 after the larger of them. */
function paintGradient(canvas: Canvas, height: number): void {
  const step = 2; // whole chroma samples
  for (let y = 0; y < height; y += step) {
    for (let x = 0; x < canvas.width; x += step) {
      const red = Math.floor((255 * x) / canvas.width);
      const green = Math.floor((255 * y) / height);
      canvas.fill(x, y, step, step, canvas.encode([red, green, 255 - Math.max(red, green)]));
    }
  }
}
