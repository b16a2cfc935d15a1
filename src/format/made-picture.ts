// A picture of ours in the format of a camera: drawn with a canvas or made by a scaler, and encoded where the format is JPEG.
import { JpegEncoder } from "../../ffi/turbojpeg-encoder.ts";
import { needLibrary } from "../errors.ts";
import { type PixelFormat, pixelFormat, pixelFormatNamed } from "./formats.ts";
import type { TargetFormat } from "./picture-layout.ts";
import { PictureMemory } from "./picture-memory.ts";

export class MadePicture implements Disposable {
  /** Where the picture is drawn. */
  readonly memory: PictureMemory;
  readonly #jpeg: JpegEncoder | undefined;
  readonly #bytes: number;
  #address: number;
  #length = 0;

  /** Throws UnavailableError when the format is JPEG and its library is missing. */
  constructor({ width, height, pixelformat, planes, bytes }: TargetFormat) {
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
    if (this.#length > this.#bytes) this.#length = 0; // larger than the camera takes: it would be cut
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
