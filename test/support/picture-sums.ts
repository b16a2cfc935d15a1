// A sink for the decoder of libavcodec that keeps the md5 of each picture, as framemd5 of ffmpeg does: without the row and column
// that are added to odd sizes, and with U before V.
import { createHash, type Hash } from "node:crypto";
import { addressOf } from "../../ffi/libc.ts";
import { SPARE_BYTES } from "../../ffi/picture-writer.ts";
import type { PictureSink } from "../../src/video/codec/libavcodec/decoder.ts";
import { pictureLayout } from "../../src/video/codec/libavcodec/picture-layout.ts";
import { NV12, YVU420 } from "../../src/video/formats.ts";

export class PictureSums implements PictureSink {
  readonly sums: string[] = [];
  readonly keys: number[] = [];
  readonly sizes: string[] = [];
  readonly failures: number[] = [];
  /** What `place` may still answer before it answers 0. */
  places = Number.POSITIVE_INFINITY;
  /** The virtio-video number that the decoder writes. */
  output: number;
  #width = 0;
  #height = 0;
  #memory = new Uint8Array(new ArrayBuffer(1));

  constructor(output: number) {
    this.output = output;
  }

  changed(width: number, height: number): void {
    this.#width = width;
    this.#height = height;
    this.sizes.push(`${width}x${height}`);
  }

  place(bytes: number): number {
    if (this.places === 0) return 0;
    this.places -= 1;
    if (this.#memory.length !== bytes + SPARE_BYTES)
      this.#memory = new Uint8Array(new ArrayBuffer(bytes + SPARE_BYTES));
    return addressOf(this.#memory);
  }

  picture(key: number): void {
    this.keys.push(key);
    this.sums.push(this.#sum());
  }

  failed(_key: number, error: number): void {
    this.failures.push(error);
  }

  progress(): void {}

  #sum(): string {
    const { stride, planes } = pictureLayout(this.output, this.#width, this.#height);
    const [y, second, third] = planes.map(({ offset }) => offset);
    const [width, height] = [(this.#width + 1) >> 1, (this.#height + 1) >> 1];
    const hash = createHash("md5");
    this.#update(hash, { at: y, stride, width: this.#width, height: this.#height });
    const chroma =
      this.output === NV12
        ? [{ at: second, stride, width: 2 * width }]
        : [second, third].map((at) => ({ at, stride: stride / 2, width }));
    if (this.output === YVU420) chroma.reverse();
    for (const plane of chroma) this.#update(hash, { ...plane, height });
    return hash.digest("hex");
  }

  #update(hash: Hash, { at = 0, stride, width, height }: Samples): void {
    const rows = width === stride ? 1 : height;
    const bytes = width === stride ? stride * height : width;
    for (let row = 0; row < rows; row++) {
      const from = at + row * stride;
      hash.update(this.#memory.subarray(from, from + bytes));
    }
  }
}

interface Samples {
  readonly at: number | undefined;
  readonly stride: number;
  /** Bytes of a row that are samples. */
  readonly width: number;
  readonly height: number;
}
