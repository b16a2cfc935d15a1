// Where the planes of a decoded picture are in its slot, and so in the guest's buffer. Both processes of a stream use it.
import type { PicturePlaces } from "../../../../ffi/picture-writer.ts";
import { colourPlanes, planesBytes } from "../../colour-planes.ts";
import { NV12, videoFormat, YVU420 } from "../../formats.ts";
import type { Plane } from "../../resource.ts";

export interface PictureLayout {
  /** Bytes of a row of the first plane: the width, rounded up to the pixels that share a chroma sample. */
  readonly stride: number;
  /** Rows of the first plane: the height, rounded up in the same way. */
  readonly rows: number;
  /** The colour planes in their order, one after the other. */
  readonly planes: readonly Plane[];
  /** Bytes of all planes. */
  readonly bytes: number;
}

const even = (value: number) => value + (value % 2);

/** The layout of a picture of `width` x `height` visible pixels; `format` is NV12, YUV420 or YVU420 of virtio-video. */
export function pictureLayout(format: number, width: number, height: number): PictureLayout {
  const row = videoFormat(format);
  if (row === undefined || row.coded) throw new RangeError(`format ${format} has no pictures`);
  const stride = even(width);
  const rows = even(height);
  const planes = colourPlanes(row, stride, rows);
  return { stride, rows, planes, bytes: planesBytes(planes) };
}

/** The same for the picture writer, in FFmpeg's words. */
export function picturePlaces(format: number, { stride, planes }: PictureLayout): PicturePlaces {
  const offsets = planes.map(({ offset }) => offset);
  const places = offsets.map((offset, i) => ({
    offset,
    stride: i === 0 || format === NV12 ? stride : stride / 2,
  }));
  const [y, ...chroma] = places;
  if (y === undefined) throw new RangeError(`format ${format} has no planes`);
  if (format === YVU420) chroma.reverse(); // FFmpeg's order is Y, U, V
  return { format: format === NV12 ? "nv12" : "yuv420p", planes: [y, ...chroma] };
}
