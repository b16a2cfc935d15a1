// Copies decoded pictures out of the memory of libavcodec: plane by plane when the formats are the same, else by libswscale.
import type { AvDecoder } from "./av-decoder.ts";
import type { AvLibrary } from "./libavcodec.ts";
import { CallError } from "./library.ts";
import {
  loadSwscale,
  numberOf,
  pointers,
  SWS_CS_ITU601,
  type SwsFunctions,
  strides,
  UNCHANGED,
} from "./swscale.ts";

/** libswscale may write some bytes after a picture. */
export const SPARE_BYTES = 64;

/** What `ffmpeg` uses when it inserts a conversion. Without scaling it matters for other chroma samplings only. */
const SWS_BICUBIC = 4;
const LIMITED_RANGE = 0;
const FULL_RANGE = 1;

/** FFmpeg's names of 8-bit 4:2:0 in three planes, of limited and full range: the samples are copied unchanged. */
const PLANAR = "yuv420p";
const planarNames: readonly string[] = [PLANAR, "yuvj420p"];
/** Formats of full range. Their samples stay in that range. */
const FULL = /^(yuvj|gray)/;

/** Where a plane goes: bytes from the start of the picture, bytes from row to row. */
export interface PlanePlace {
  readonly offset: number;
  readonly stride: number;
}

/** What pictures are copied to. */
export interface PicturePlaces {
  readonly format: "yuv420p" | "nv12";
  /** In FFmpeg's order: Y, U, V or Y, UV. */
  readonly planes: readonly PlanePlace[];
}

/** Writes pictures of one size and format. */
export interface PictureWriter extends Disposable {
  /** Writes the decoder's picture to `to`, where `SPARE_BYTES` follow the picture. Throws CallError. */
  write(to: number): void;
}

/** A writer for pictures like the decoder's present one. Throws CallError or LibraryError. */
export function pictureWriter(
  library: AvLibrary,
  decoder: AvDecoder,
  places: PicturePlaces,
): PictureWriter {
  const format = library.pixelFormatName(decoder.picture.format);
  return places.format === PLANAR && planarNames.includes(format)
    ? new PlaneCopier(library, decoder, places)
    : new Converter(format, decoder, places);
}

class PlaneCopier implements PictureWriter {
  readonly #av;
  readonly #picture;
  readonly #planes;

  constructor(library: AvLibrary, { picture }: AvDecoder, { planes }: PicturePlaces) {
    const chroma = { width: (picture.width + 1) >> 1, height: (picture.height + 1) >> 1 };
    const names = [
      ["data[0]", "linesize[0]"],
      ["data[1]", "linesize[1]"],
      ["data[2]", "linesize[2]"],
    ] as const;
    this.#av = library.functions;
    this.#picture = picture;
    this.#planes = names.map(([data, linesize], i) => ({
      data,
      linesize,
      offset: planes[i]?.offset ?? 0,
      stride: planes[i]?.stride ?? 0,
      width: i === 0 ? picture.width : chroma.width,
      height: i === 0 ? picture.height : chroma.height,
    }));
  }

  write(to: number): void {
    for (const { data, linesize, offset, stride, width, height } of this.#planes) {
      const pitch = this.#picture[linesize];
      // av_image_copy_plane ends the process when a row is longer than its line.
      if (pitch < width || stride < width)
        throw new CallError("av_image_copy_plane", "", `a row of ${width} bytes in ${pitch}`);
      this.#av.av_image_copy_plane(to + offset, stride, this.#picture[data], pitch, width, height);
    }
  }

  [Symbol.dispose](): void {}
}

class Converter implements PictureWriter {
  readonly #sws: SwsFunctions = loadSwscale();
  readonly #pictureAt: number;
  readonly #height: number;
  readonly #places: PicturePlaces;
  readonly #pointers = pointers.alloc();
  readonly #strides = strides.alloc();
  readonly #pointersAt = this.#pointers.$address;
  readonly #stridesAt = this.#strides.$address;
  #context: number;

  constructor(format: string, { picture, pictureAt }: AvDecoder, places: PicturePlaces) {
    const sws = this.#sws;
    const { width, height } = picture;
    this.#pictureAt = pictureAt;
    this.#height = height;
    this.#places = places;
    for (const [i, key] of (["a", "b", "c"] as const).entries())
      this.#strides[key] = places.planes[i]?.stride ?? 0;
    const [from, to] = [numberOf(sws, format), numberOf(sws, places.format)];
    this.#context = sws.sws_getContext(
      width,
      height,
      from,
      width,
      height,
      to,
      SWS_BICUBIC,
      0,
      0,
      0,
    );
    const what = `${width}x${height} ${format} to ${places.format}`;
    if (this.#context === 0) throw new CallError("sws_getContext", what, "no such conversion");
    const matrix = sws.sws_getCoefficients(SWS_CS_ITU601);
    const range = FULL.test(format) ? FULL_RANGE : LIMITED_RANGE;
    const { brightness, contrast, saturation } = UNCHANGED;
    // It fails where neither side has luma and chroma; then there is nothing to set.
    sws.sws_setColorspaceDetails(
      this.#context,
      matrix,
      range,
      matrix,
      range,
      brightness,
      contrast,
      saturation,
    );
  }

  write(to: number): void {
    if (this.#context === 0) throw new Error("the converter is disposed");
    const { planes } = this.#places;
    this.#pointers.a = to + (planes[0]?.offset ?? 0);
    this.#pointers.b = to + (planes[1]?.offset ?? 0);
    this.#pointers.c = planes[2] === undefined ? 0 : to + planes[2].offset;
    const linesizeAt = this.#pictureAt + 64; // AVFrame.linesize
    const rows = this.#sws.sws_scale(
      this.#context,
      this.#pictureAt, // AVFrame.data
      linesizeAt,
      0,
      this.#height,
      this.#pointersAt,
      this.#stridesAt,
    );
    if (rows !== this.#height)
      throw new CallError("sws_scale", "", `made ${rows} of ${this.#height} rows`);
  }

  [Symbol.dispose](): void {
    if (this.#context === 0) return;
    this.#sws.sws_freeContext(this.#context);
    this.#context = 0;
  }
}
