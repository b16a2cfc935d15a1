// How decoded pictures lie in their buffers: the frame has whole chroma samples and whole strides; the picture is its upper
// left part (crop).
import type { PictureLayout } from "../../../../ffi/picture-writer.ts";
import { colourPlanes, planesBytes } from "../../colour-planes.ts";
import { NV12, videoFormat } from "../../formats.ts";

/** Pixels. */
export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

export interface PictureSpec {
  /** The number of virtio-video: NV12, YUV420 or YVU420. */
  readonly format: number;
  /** The frame's width is a multiple of this, which is even. */
  readonly align: number;
}

export const YVU420 = 5;

const roundUp = (value: number, step: number) => Math.ceil(value / step) * step;

/** The size of the frame that has a picture of that size. Its width is the stride of the first plane. */
export function frameSize({ width, height }: PictureSize, { align }: PictureSpec): PictureSize {
  return { width: roundUp(width, align), height: roundUp(height, 2) };
}

/** Bytes of a frame. */
export function pictureSize(size: PictureSize, spec: PictureSpec): number {
  return planesBytes(planes(size, spec));
}

/** Where the planes of a frame are. */
export function pictureLayout(size: PictureSize, spec: PictureSpec): PictureLayout {
  const stride = frameSize(size, spec).width;
  const [first, second, third] = planes(size, spec).map(({ offset }) => offset);
  const y = { offset: first ?? 0, stride };
  if (spec.format === NV12) return { format: "nv12", planes: [y, { offset: second ?? 0, stride }] };
  const chroma = [second ?? 0, third ?? 0].map((offset) => ({ offset, stride: stride / 2 }));
  if (spec.format === YVU420) chroma.reverse(); // FFmpeg's order is Y, U, V
  return { format: "yuv420p", planes: [y, ...chroma] };
}

function planes(size: PictureSize, spec: PictureSpec) {
  const format = videoFormat(spec.format);
  if (format === undefined) throw new RangeError(`no format ${spec.format}`);
  const { width, height } = frameSize(size, spec);
  return colourPlanes(format, width, height);
}
