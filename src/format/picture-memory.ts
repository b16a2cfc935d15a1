// Memory of ours for one picture: it is drawn into with a canvas, and is a side of a conversion by libswscale.
import { addressOf } from "../../ffi/libc.ts";
import type { ScalerSide } from "../../ffi/swscale.ts";
import { Canvas } from "./canvas.ts";
import type { PixelFormat } from "./formats.ts";
import { layoutOf, type PlaneLayout } from "./picture-layout.ts";

/** libswscale may access some bytes after a picture. */
const SPARE_BYTES = 64;
/** What its vector instructions may need addresses and strides to be a multiple of. */
const ALIGNMENT = 64;

const aligned = (length: number) => Math.ceil(length / ALIGNMENT) * ALIGNMENT;

/** The planes of a picture, each row of which begins at an aligned address of a PictureMemory. */
export function alignedLayout(format: PixelFormat, width: number, height: number): PlaneLayout[] {
  let offset = 0;
  return layoutOf(format, width, height).map(({ rowBytes: least, rows }) => {
    const rowBytes = aligned(least);
    const layout = { offset, rowBytes, rows };
    offset += rowBytes * rows;
    return layout;
  });
}

/** A part of a picture, pixels, on whole chroma samples. */
export interface Part {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

const isAligned = ({ offset, rowBytes }: PlaneLayout) =>
  offset % ALIGNMENT === 0 && rowBytes % ALIGNMENT === 0;

/** Memory for one picture of a format in the table. */
export class PictureMemory {
  readonly format: PixelFormat;
  readonly width: number;
  readonly height: number;
  readonly planes: readonly PlaneLayout[];
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly address: number;

  constructor(
    format: PixelFormat,
    width: number,
    height: number,
    planes: readonly PlaneLayout[] = layoutOf(format, width, height),
  ) {
    this.format = format;
    this.width = width;
    this.height = height;
    this.planes = planes;
    const ends = planes.map(({ offset, rowBytes, rows }) => offset + rowBytes * rows);
    const length = Math.max(...ends) + SPARE_BYTES;
    const memory = new ArrayBuffer(length + ALIGNMENT);
    const start = addressOf(new Uint8Array(memory));
    this.bytes = new Uint8Array(memory, aligned(start) - start, length);
    this.address = aligned(start);
  }

  /** Whether each row of each plane, in that part, begins at an aligned address. */
  isAligned({ left, top }: Part): boolean {
    const whole = left === 0 && top === 0;
    return whole && this.planes.every(isAligned);
  }

  canvas(): Canvas {
    return new Canvas(this.bytes, this.format, this.width, this.height, this.planes);
  }

  /** A part of the picture as a side of a conversion. */
  side(part: Part): ScalerSide {
    const { components, ffmpeg, planes: shapes } = this.format;
    // FFmpeg has the planes in the order of the components.
    const order = [...new Set(components.map(({ plane }) => plane))];
    return {
      memory: this.bytes,
      width: part.width,
      height: part.height,
      format: ffmpeg.split(" ")[0] ?? ffmpeg,
      planes: order.map((index) => {
        const { offset, rowBytes: stride } = this.planes[index] ?? { offset: 0, rowBytes: 0 };
        const { bytes, across, down } = shapes[index] ?? { bytes: 1, across: 1, down: 1 };
        const skipped = (part.top / down) * stride + (part.left / across) * bytes;
        return { address: this.address + offset + skipped, stride };
      }),
    };
  }
}
