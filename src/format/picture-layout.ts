// The planes and rows of a picture as it is sent: one plane after the other, without padding.
import { type PixelFormat, pixelFormat } from "./formats.ts";

export interface PlaneLayout {
  /** Byte of the picture where the plane starts. */
  readonly offset: number;
  readonly rowBytes: number;
  readonly rows: number;
}

/** The planes of a picture without padding. Odd sizes round the chroma up. */
export function layoutOf(
  format: PixelFormat,
  width: number,
  height: number,
): readonly PlaneLayout[] {
  let offset = 0;
  return format.planes.map((plane) => {
    const rowBytes = Math.ceil(width / plane.across) * plane.bytes;
    const layout = { offset, rowBytes, rows: Math.ceil(height / plane.down) };
    offset += rowBytes * layout.rows;
    return layout;
  });
}

/** Bytes of a picture without padding. */
export function pictureBytes(format: PixelFormat, width: number, height: number): number {
  return layoutOf(format, width, height).reduce(
    (sum, plane) => sum + plane.rowBytes * plane.rows,
    0,
  );
}

export interface PictureFormat {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** V4L2 fourcc number. */
  readonly pixelformat: number;
}

/** A format that pictures are made in, and where their parts are. */
export interface TargetFormat extends PictureFormat {
  /** The colour planes, of formats in the table; `rowBytes` has the padding. Empty for other formats. */
  readonly planes: readonly PlaneLayout[];
  /** Bytes of a picture; at most, for compressed formats. */
  readonly bytes: number;
}

/** Size and format of a stream's frames, as the sender's hello says. */
export interface Picture extends PictureFormat {
  /** Bytes of the largest frame. */
  readonly sizeimage: number;
}

/** Bytes that a frame needs to be a whole picture. Compressed frames have any size: 1. */
export function wholeBytes({ width, height, pixelformat }: Picture): number {
  const format = pixelFormat(pixelformat);
  return format === undefined ? 1 : pictureBytes(format, width, height);
}
