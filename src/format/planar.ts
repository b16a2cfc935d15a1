// Pictures with one plane per component, as YUV4MPEG2 has them, from packed formats and back. Bytes only change their
// place: the conversion is exact.
import { copyMemory } from "../../ffi/copy.ts";
import { addressOf } from "../../ffi/libc.ts";
import type { Component, PixelFormat } from "./formats.ts";
import { layoutOf, type PlaneLayout } from "./picture-layout.ts";
import type { PlaneRows } from "./rows.ts";

/** Whether the planes of the format are its components, one each: the frame's own rows can be written. */
export const isPlanar = ({ components }: PixelFormat): boolean =>
  components.every(({ step, bits }) => step === 1 && bits === undefined);

/** The planes of the components, one after the other, without padding. */
export function planarLayout(
  format: PixelFormat,
  width: number,
  height: number,
): readonly PlaneLayout[] {
  let offset = 0;
  return format.components.map(({ across, down }) => {
    const rowBytes = Math.ceil(width / across);
    const layout = { offset, rowBytes, rows: Math.ceil(height / down) };
    offset += rowBytes * layout.rows;
    return layout;
  });
}

/** Bytes of the planes of the components. The same number for any picture of that size and sampling. */
export function planarBytes(format: PixelFormat, width: number, height: number): number {
  return planarLayout(format, width, height).reduce(
    (sum, { rowBytes, rows }) => sum + rowBytes * rows,
    0,
  );
}

/** Moves the samples of frames in one format to planes of their own. Its views are made once per buffer. */
export class PlanarCopy {
  readonly #format: PixelFormat;
  readonly #layout: readonly PlaneLayout[];
  readonly #to: Uint8Array<ArrayBuffer>;
  readonly #toAt: number;
  readonly #halves: Uint16Array;

  /** `to` has `planarBytes` bytes, for pictures of that size. */
  constructor(format: PixelFormat, width: number, height: number, to: Uint8Array<ArrayBuffer>) {
    this.#format = format;
    this.#layout = planarLayout(format, width, height);
    this.#to = to;
    this.#toAt = addressOf(to);
    this.#halves = new Uint16Array(to.buffer, to.byteOffset, to.length >> 1);
  }

  /** Copies the picture in `from`, whose planes lie as in `planes`. */
  copy(planes: readonly PlaneRows[], from: WordView): void {
    const { components } = this.#format;
    if (planes.length === 1 && this.#copyGroups(planes[0], from)) return;
    for (let i = 0; i < components.length; i++) {
      const component = components[i];
      const target = this.#layout[i];
      const source = component && planes[component.plane];
      if (component === undefined || source === undefined || target === undefined) continue;
      if (component.step === 1) this.#copyRows(from.address, source, target);
      else if (!this.#copyPairs(component, source, target, from)) {
        for (let y = 0; y < target.rows; y++) {
          const start = source.offset + y * source.stride + component.offset;
          const at = target.offset + y * target.rowBytes;
          spread(from.bytes, start, component.step, this.#to, at, 1, target.rowBytes);
        }
      }
    }
  }

  #copyRows(address: number, source: PlaneRows, target: PlaneLayout): void {
    const { rowBytes, rows } = target;
    const from = address + source.offset;
    const to = this.#toAt + target.offset;
    if (source.stride === rowBytes) copyMemory(to, from, rowBytes * rows);
    else
      for (let y = 0; y < rows; y++)
        copyMemory(to + y * rowBytes, from + y * source.stride, rowBytes);
  }

  /** 4:2:2 in groups of four bytes: one word is read per group. Returns false for others, and for odd sizes. */
  #copyGroups(source: PlaneRows | undefined, { words }: WordView): boolean {
    const [y, u, v] = this.#format.components;
    const [luma, blue, red] = this.#layout;
    if (words === undefined || source === undefined || luma === undefined) return false;
    if (y?.step !== 2 || u?.step !== 4 || v?.step !== 4) return false;
    if (blue === undefined || red === undefined) return false;
    if (((source.offset | source.stride) & 3) !== 0 || (luma.rowBytes & 1) !== 0) return false;
    const to = this.#to;
    const halves = this.#halves;
    const shiftY = y.offset * 8;
    const shiftU = u.offset * 8;
    const shiftV = v.offset * 8;
    const groups = luma.rowBytes >> 1;
    for (let row = 0; row < luma.rows; row++) {
      const at = (source.offset + row * source.stride) >> 2;
      const first = row * groups;
      for (let i = 0; i < groups; i++) {
        const word = words[at + i] as number;
        const light = word >>> shiftY;
        halves[first + i] = (light & 0xff) | ((light >>> 8) & 0xff00);
        to[blue.offset + first + i] = word >>> shiftU;
        to[red.offset + first + i] = word >>> shiftV;
      }
    }
    return true;
  }

  /** Every second byte, two of a word. Returns false where rows do not begin at whole words. */
  #copyPairs(
    { offset, step }: Component,
    source: PlaneRows,
    target: PlaneLayout,
    { words }: WordView,
  ): boolean {
    const odd = (source.offset | source.stride) & 3 || (target.offset | target.rowBytes) & 1;
    if (words === undefined || step !== 2 || odd !== 0) return false;
    const pairs = target.rowBytes >> 1;
    const shift = offset * 8;
    for (let y = 0; y < target.rows; y++) {
      const at = (source.offset + y * source.stride) >> 2;
      const to = (target.offset + y * target.rowBytes) >> 1;
      for (let i = 0; i < pairs; i++) {
        const word = (words[at + i] as number) >>> shift;
        this.#halves[to + i] = (word & 0xff) | ((word >>> 8) & 0xff00);
      }
    }
    return true;
  }
}

/** Memory as bytes and, where it begins at a whole word, as words. */
export interface WordView {
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array | undefined;
}

/** Makes the views of a buffer, once. */
export function wordView(address: number, bytes: Uint8Array<ArrayBuffer>): WordView {
  const aligned = bytes.byteOffset % 4 === 0;
  const words = aligned
    ? new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2)
    : undefined;
  return { address, bytes, words };
}

/** The reverse of `PlanarCopy`, to a picture without padding. */
export function fromPlanar(
  format: PixelFormat,
  width: number,
  height: number,
  from: Uint8Array,
  to: Uint8Array,
): void {
  const planes = layoutOf(format, width, height);
  const layout = planarLayout(format, width, height);
  for (const [i, { plane, offset, step }] of format.components.entries()) {
    const source = layout[i];
    const target = planes[plane];
    if (source === undefined || target === undefined) continue;
    for (let y = 0; y < source.rows; y++) {
      const at = source.offset + y * source.rowBytes;
      spread(from, at, 1, to, target.offset + y * target.rowBytes + offset, step, source.rowBytes);
    }
    fillOdd(format.components, i, width, to, target);
  }
}

/** In a picture of odd width the last group of pixels has one sample more than the picture: it repeats the last one. */
function fillOdd(
  components: readonly Component[],
  i: number,
  width: number,
  to: Uint8Array,
  target: PlaneLayout,
): void {
  const { across, step, offset } = components[i] ?? { across: 1, step: 1, offset: 0 };
  const room = Math.floor((target.rowBytes - offset - 1) / step) + 1;
  const used = Math.ceil(width / across);
  if (room <= used) return;
  for (let y = 0; y < target.rows; y++) {
    const last = target.offset + y * target.rowBytes + offset + (used - 1) * step;
    to[last + step] = to[last] ?? 0;
  }
}

function spread(
  from: Uint8Array,
  start: number,
  fromStep: number,
  to: Uint8Array,
  at: number,
  toStep: number,
  count: number,
): void {
  let source = start;
  let target = at;
  for (let i = 0; i < count; i++) {
    to[target] = from[source] as number;
    source += fromStep;
    target += toStep;
  }
}
