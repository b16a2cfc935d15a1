// A picture of ours for a camera node, in the node's format: drawn with a canvas or made by a scaler, and encoded where the node
// has JPEG.
import { addressOf } from "../../../ffi/libc.ts";
import type { ScalerSide } from "../../../ffi/swscale.ts";
import { JpegEncoder } from "../../../ffi/turbojpeg-encoder.ts";
import { needLibrary } from "../../errors.ts";
import { Canvas } from "../../format/canvas.ts";
import { type PixelFormat, pixelFormat, pixelFormatNamed } from "../../format/formats.ts";
import { layoutOf, type PlaneLayout } from "../../format/picture-layout.ts";
import type { NodeFormat } from "../../v4l2/output-format.ts";

/** libswscale may access some bytes after a picture. */
const SPARE_BYTES = 64;

/** A part of a picture, pixels, on whole chroma samples. */
export interface Part {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

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
    const memory = new ArrayBuffer(Math.max(...ends) + SPARE_BYTES);
    this.bytes = new Uint8Array(memory);
    this.address = addressOf(this.bytes);
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

export class NodePicture implements Disposable {
  /** Where the picture is drawn. */
  readonly memory: PictureMemory;
  readonly #jpeg: JpegEncoder | undefined;
  readonly #bytes: number;
  #address: number;
  #length = 0;

  /** Throws UnavailableError when the node has JPEG and its library is missing. */
  constructor({ width, height, pixelformat, planes, bytes }: NodeFormat) {
    const format = pixelFormat(pixelformat);
    this.#bytes = bytes;
    if (format !== undefined) {
      this.memory = new PictureMemory(format, width, height, planes);
      this.#address = this.memory.address;
      this.#length = bytes;
      return;
    }
    this.memory = new PictureMemory(drawn, width, height);
    this.#jpeg = needLibrary(() => new JpegEncoder(width, height), "libturbojpeg0");
    this.#address = this.#jpeg.address;
  }

  /** Call when the memory has a new picture. Throws CallError. */
  finish(): void {
    if (this.#jpeg === undefined) return;
    const { address, planes } = this.memory;
    this.#length = this.#jpeg.encode(address, planes[0]?.rowBytes ?? 0);
    if (this.#length > this.#bytes) this.#length = 0; // larger than the node takes: it would be cut
  }

  /** Address of the finished picture. */
  get address(): number {
    return this.#address;
  }
  /** Bytes of the finished picture; 0 when there is none. */
  get length(): number {
    return this.#length;
  }

  [Symbol.dispose](): void {
    this.#jpeg?.[Symbol.dispose]();
  }
}

/** What JPEG pictures are drawn as, and decoded to. */
export const drawn = pixelFormatNamed("XR24") as PixelFormat;
