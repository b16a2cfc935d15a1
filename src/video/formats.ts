// The formats of virtio-video, one row each: number, V4L2 fourcc and, for pictures, the shape of the planes.
// virtio-video draft v3, "enum virtio_video_format"; FWHT is from a later header.
import { fourcc, type PlaneShape, pixelFormatNamed } from "../format/formats.ts";

export interface VideoFormat {
  /** The number in virtio-video. */
  readonly number: number;
  readonly name: string;
  /** The number in V4L2. */
  readonly fourcc: number;
  readonly coded: boolean;
  /** Colour planes of a picture; empty for coded formats. */
  readonly planes: readonly PlaneShape[];
  /** V4L2 fourccs of the same picture with a memory plane per colour plane. The planes are joined by copying. */
  readonly split: readonly number[];
}

const packed: readonly PlaneShape[] = [{ bytes: 4, across: 1, down: 1 }];
const picture = (
  number: number,
  name: string,
  v4l2: string,
  split: readonly string[] = [],
): VideoFormat => ({
  number,
  name,
  fourcc: fourcc(v4l2),
  coded: false,
  planes: pixelFormatNamed(v4l2)?.planes ?? packed,
  split: split.map(fourcc),
});
const coded = (number: number, name: string, v4l2: string): VideoFormat => ({
  number,
  name,
  fourcc: fourcc(v4l2),
  coded: true,
  planes: [],
  split: [],
});

export const FWHT = 0x1006;
export const YUV420 = 4;
export const NV12 = 3;
export const YVU420 = 5;

export const videoFormats: readonly VideoFormat[] = [
  picture(1, "ARGB8888", "BA24"),
  picture(2, "BGRA8888", "AR24"),
  picture(NV12, "NV12", "NV12", ["NM12"]),
  picture(YUV420, "YUV420", "YU12", ["YM12"]),
  picture(YVU420, "YVU420", "YV12", ["YM21"]),
  coded(0x1000, "MPEG2", "MPG2"),
  coded(0x1001, "MPEG4", "MPG4"),
  coded(0x1002, "H264", "H264"),
  coded(0x1003, "HEVC", "HEVC"),
  coded(0x1004, "VP8", "VP80"),
  coded(0x1005, "VP9", "VP90"),
  coded(FWHT, "FWHT", "FWHT"),
];

const byNumber = new Map(videoFormats.map((format) => [format.number, format]));
const byFourcc = new Map(
  videoFormats.flatMap((format) =>
    [format.fourcc, ...format.split].map((code) => [code, format] as const),
  ),
);

/** The row of a virtio-video number. */
export function videoFormat(number: number): VideoFormat | undefined {
  return byNumber.get(number);
}

/** The row of a V4L2 fourcc, variants with split planes included. */
export function videoFormatOf(code: number): VideoFormat | undefined {
  return byFourcc.get(code);
}
