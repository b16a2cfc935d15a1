// How the rows of a picture lie in a frame of a given length. The wire has no bytes per row: senders that forward a
// driver's buffer as it is send padded rows.
import type { PixelFormat } from "./formats.ts";
import { layoutOf, type PlaneLayout, pictureBytes } from "./picture-layout.ts";

/** Some drivers round the whole buffer up to pages. The bytes after the last row are not part of the picture. */
const PAGE = 4096;
/** What drivers round the bytes of a row up to. */
const ROW_UNITS = [1, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/** A plane of a frame. */
export interface PlaneRows extends PlaneLayout {
  /** Bytes from one row to the next; at least `rowBytes`. */
  readonly stride: number;
}

/**
 * The planes of a frame of `bytes` bytes. "short": it has fewer bytes than a picture. Undefined: it has more, and no
 * padding explains them.
 */
export function rowsOf(
  format: PixelFormat,
  width: number,
  height: number,
  bytes: number,
): readonly PlaneRows[] | "short" | undefined {
  const tight = layoutOf(format, width, height);
  const size = pictureBytes(format, width, height);
  if (bytes < size) return "short";
  const [first] = tight;
  if (first === undefined) return undefined;
  const whole = (length: number) => Math.ceil(length / PAGE) * PAGE;
  if (bytes === size || bytes === whole(size)) {
    return tight.map((plane) => ({ ...plane, stride: plane.rowBytes }));
  }
  const share = shareOfFirst(format);
  const lines = tight.reduce((sum, { rows }, i) => sum + rows * share(i), 0);
  const exact = withStride(format, tight, bytes / lines);
  if (exact !== undefined) return exact;
  if (bytes % PAGE !== 0) return undefined;
  for (const unit of ROW_UNITS) {
    const stride = Math.ceil(first.rowBytes / unit) * unit;
    const rows = withStride(format, tight, stride);
    if (rows !== undefined && whole(stride * lines) === bytes) return rows;
  }
  return undefined;
}

/** How long the rows of plane `i` are, for rows of length 1 in the first plane (v4l2_pix_format.bytesperline). */
function shareOfFirst(format: PixelFormat): (i: number) => number {
  const bytesPerPixel = (i: number) => {
    const { across = 1, bytes = 1 } = format.planes[i] ?? {};
    return bytes / across;
  };
  return (i) => bytesPerPixel(i) / bytesPerPixel(0);
}

/** The planes with rows of `first` bytes in the first one. Undefined where a row has no whole number of groups then. */
function withStride(
  format: PixelFormat,
  tight: readonly PlaneLayout[],
  first: number,
): readonly PlaneRows[] | undefined {
  const share = shareOfFirst(format);
  let offset = 0;
  const planes: PlaneRows[] = [];
  for (const [i, { rowBytes, rows }] of tight.entries()) {
    const stride = Math.round(first * share(i));
    if (Math.abs(stride - first * share(i)) > 1e-6 || stride < rowBytes) return undefined;
    // Samples that share a group of bytes stay together.
    const { across = 1, bytes = 1 } = format.planes[i] ?? {};
    if (across > 1 && stride % bytes !== 0) return undefined;
    planes.push({ offset, rowBytes, rows, stride });
    offset += stride * rows;
  }
  return planes;
}

/** The error text for a frame that has no rows of a picture in it. */
export function unfitText(
  format: PixelFormat,
  { width, height }: { readonly width: number; readonly height: number },
  bytes: number,
): string {
  const size = pictureBytes(format, width, height);
  return `${bytes} bytes are no ${width}x${height} ${format.name} picture: it has ${size}, or more with rows of one length`;
}

/** Finds the rows of a stream's frames. Frames of the same length cost nothing. */
export class RowFinder {
  readonly #format: PixelFormat;
  readonly #picture: Sized;
  #bytes = -1;
  #found: ReturnType<typeof rowsOf>;

  constructor(format: PixelFormat, picture: Sized) {
    this.#format = format;
    this.#picture = picture;
  }

  /** Like `rowsOf`. Where whole frames have padding, one that ends in the middle of it is "short" as well. */
  find(bytes: number): ReturnType<typeof rowsOf> {
    if (bytes === this.#bytes) return this.#found;
    const { width, height, sizeimage } = this.#picture;
    const of = (length: number) => rowsOf(this.#format, width, height, length);
    this.#bytes = bytes;
    this.#found = of(bytes);
    if (this.#found === undefined && bytes < sizeimage && of(sizeimage) !== undefined) {
      this.#found = "short";
    }
    return this.#found;
  }
}

/** Size of a stream's pictures, and bytes of its largest frame. */
interface Sized {
  readonly width: number;
  readonly height: number;
  readonly sizeimage: number;
}
