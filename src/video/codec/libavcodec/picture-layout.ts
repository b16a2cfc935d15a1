// Where the planes of a decoded picture are in its slot, and so in the guest's buffer. Both processes of a stream use it.
import { colourPlanes, planesBytes } from "../../colour-planes.ts";
import { videoFormat } from "../../formats.ts";
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
