// Draws into pictures and reads their colours, in any format of the table.
import { defaultMatrix, type Rgb, rowToRgb, toRgb, toYuv } from "./colour.ts";
import type { PixelFormat } from "./formats.ts";
import { layoutOf, type PlaneLayout } from "./picture-layout.ts";

const WORD = 4;

/** The picture in words, if each word is a group of pixels and the components fill it; the machine is little-endian. */
function wordsOf(
  bytes: Uint8Array,
  { planes: [shape, ...others], components }: PixelFormat,
  [plane]: readonly PlaneLayout[],
): Uint32Array | undefined {
  const filled = components.reduce((sum, { step, bits }) => sum + (bits ? 0 : WORD / step), 0);
  if (shape?.bytes !== WORD || others.length > 0 || filled !== WORD) return undefined;
  const { offset = 0, rowBytes = 0 } = plane ?? {};
  if ([bytes.byteOffset, offset, rowBytes].some((value) => value % WORD !== 0)) return undefined;
  return new Uint32Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / WORD));
}

export class Canvas {
  readonly bytes: Uint8Array;
  readonly format: PixelFormat;
  readonly width: number;
  readonly height: number;
  readonly #planes: readonly PlaneLayout[];
  /** The picture in words of 4 bytes, where each word is a group of pixels. */
  readonly #words: Uint32Array | undefined;

  /**
   * `bytes` hold a picture, without padding unless `planes` say where its rows are. Throws RangeError when they are too
   * few.
   */
  constructor(
    bytes: Uint8Array,
    format: PixelFormat,
    width: number,
    height: number,
    planes: readonly PlaneLayout[] = layoutOf(format, width, height),
  ) {
    this.#planes = planes;
    const ends = planes.map(({ offset, rowBytes, rows }) => offset + rowBytes * rows);
    const needs = Math.max(0, ...ends);
    if (bytes.length < needs)
      throw new RangeError(`${bytes.length} bytes for a picture of ${needs}`);
    this.bytes = bytes;
    this.format = format;
    this.width = width;
    this.height = height;
    this.#words = wordsOf(bytes, format, planes);
  }

  /** Where the row `y` begins: all bytes before that are of rows above it. */
  rowOffset(y: number): number {
    const starts = this.format.components.map(({ plane, down }) => {
      const { offset = 0, rowBytes = 0 } = this.#planes[plane] ?? {};
      return offset + Math.ceil(y / down) * rowBytes;
    });
    return Math.min(...starts);
  }

  /** The component values of a colour in this format. */
  encode(colour: Rgb): Rgb {
    if (this.format.model === "rgb") return colour;
    const yuv = toYuv(colour, defaultMatrix);
    return this.format.model === "grey" ? [yuv[0], 0, 0] : yuv;
  }

  /**
   * Fills a rectangle with component values from `encode`. Edges are rounded up to whole chroma samples, so that
   * adjacent rectangles do not mix. Allocates nothing.
   */
  fill(x: number, y: number, width: number, height: number, values: Rgb): void {
    const words = this.#words;
    const end = Math.min(this.width, x + width);
    const pixels = this.format.planes[0]?.across ?? 1;
    const first = Math.ceil(x / pixels);
    const last = Math.floor(end / pixels);
    if (words === undefined || first >= last) {
      this.#fillBytes(x, y, end, height, values);
      return;
    }
    this.#fillBytes(x, y, first * pixels, height, values);
    this.#fillWords(words, first, last, y, height, values);
    this.#fillBytes(last * pixels, y, end, height, values);
  }

  /** Fills groups of pixels with a store each. Testsrc moves its square with them in every frame. */
  #fillWords(
    words: Uint32Array,
    first: number,
    last: number,
    y: number,
    height: number,
    values: Rgb,
  ): void {
    let word = 0;
    for (let c = 0; c < this.format.components.length; c++) {
      const { offset = 0, step = WORD } = this.format.components[c] ?? {};
      for (let at = offset; at < WORD; at += step) word |= ((values[c] ?? 0) & 0xff) << (8 * at);
    }
    const { offset = 0, rowBytes = 0 } = this.#planes[0] ?? {};
    const bottom = Math.min(this.height, y + height);
    for (let row = y; row < bottom; row++) {
      const start = (offset + row * rowBytes) / WORD;
      for (let at = start + first; at < start + last; at++) words[at] = word;
    }
  }

  #fillBytes(x: number, y: number, end: number, height: number, values: Rgb): void {
    if (x >= end) return;
    const { components } = this.format;
    for (let c = 0; c < components.length; c++) {
      const component = components[c];
      const plane = component && this.#planes[component.plane];
      if (component === undefined || plane === undefined) continue;
      const left = Math.ceil(x / component.across);
      const right = Math.ceil(end / component.across);
      const top = Math.ceil(y / component.down);
      const bottom = Math.ceil(Math.min(this.height, y + height) / component.down);
      const value = values[c] ?? 0;
      const { bits } = component;
      for (let row = top; row < bottom; row++) {
        let at = plane.offset + row * plane.rowBytes + component.offset + left * component.step;
        if (bits !== undefined) {
          for (let column = left; column < right; column++, at += component.step)
            this.#setBits(at, bits, value);
        } else {
          for (let column = left; column < right; column++, at += component.step)
            this.bytes[at] = value;
        }
      }
    }
  }

  #wordAt(at: number): number {
    return (this.bytes[at] ?? 0) | ((this.bytes[at + 1] ?? 0) << 8);
  }

  #setBits(at: number, { shift, count }: { shift: number; count: number }, value: number): void {
    const most = (1 << count) - 1;
    const scaled = count > 8 ? value << (count - 8) : Math.round((value * most) / 255);
    const word = (this.#wordAt(at) & ~(most << shift)) | (scaled << shift);
    this.bytes[at] = word;
    this.bytes[at + 1] = word >> 8;
  }

  /** The colour of a pixel. */
  colourAt(x: number, y: number): Rgb {
    const values = this.format.components.map((component) => {
      const plane = this.#planes[component.plane];
      if (plane === undefined) return 0;
      const row = plane.offset + Math.floor(y / component.down) * plane.rowBytes;
      const at = row + component.offset + Math.floor(x / component.across) * component.step;
      if (component.bits === undefined) return this.bytes[at] ?? 0;
      return this.#bitsAt(at, component.bits);
    });
    const [a = 0, b = 0, c = 0] = values;
    if (this.format.model === "rgb") return [a, b, c];
    return toRgb(
      a,
      this.format.model === "grey" ? 128 : b,
      this.format.model === "grey" ? 128 : c,
      defaultMatrix,
    );
  }

  /** The whole picture as 8-bit RGB, row by row. */
  toRgb(): Uint8Array {
    const { width, height, format } = this;
    const out = new Uint8ClampedArray(width * height * 3);
    const row = format.components.map(() => new Uint8Array(width));
    const neutral = new Uint8Array(width).fill(128);
    for (let y = 0; y < height; y++) {
      for (let c = 0; c < row.length; c++) this.#readRow(c, y, row[c] ?? neutral);
      const at = y * width * 3;
      const [first = neutral, second = neutral, third = neutral] = row;
      if (format.model !== "rgb") rowToRgb([first, second, third], defaultMatrix, out, at);
      else
        for (let x = 0; x < width; x++) {
          out[at + 3 * x] = first[x] ?? 0;
          out[at + 3 * x + 1] = second[x] ?? 0;
          out[at + 3 * x + 2] = third[x] ?? 0;
        }
    }
    return new Uint8Array(out.buffer);
  }

  /** Reads component `c` of row `y`, 8 bits a pixel. */
  #readRow(c: number, y: number, to: Uint8Array): void {
    const component = this.format.components[c];
    const plane = component && this.#planes[component.plane];
    if (component === undefined || plane === undefined) return;
    const { across, step, bits } = component;
    const { bytes } = this;
    const start = plane.offset + Math.floor(y / component.down) * plane.rowBytes + component.offset;
    for (let x = 0; x < to.length; x++) {
      const at = start + Math.floor(x / across) * step;
      to[x] = bits === undefined ? (bytes[at] ?? 0) : this.#bitsAt(at, bits);
    }
  }

  #bitsAt(at: number, { shift, count }: { shift: number; count: number }): number {
    const most = (1 << count) - 1;
    const value = (this.#wordAt(at) >> shift) & most;
    return count > 8 ? value >> (count - 8) : Math.round((value * 255) / most);
  }
}
