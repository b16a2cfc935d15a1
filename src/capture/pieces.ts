// Which parts of a camera's buffer are sent: rows without their padding, one plane after the other.
import type { Piece } from "../../ffi/gather.ts";
import { UnavailableError } from "../errors.ts";
import { fourcc, fourccName, type PixelFormat, pixelFormat } from "../format/formats.ts";
import { layoutOf, type Picture, pictureBytes } from "../format/picture-layout.ts";
import { type QueueFormat, strideOf } from "../v4l2/format.ts";

/** A part of a memory plane, bytes. */
interface Stretch {
  readonly plane: number;
  readonly offset: number;
  readonly length: number;
}

export interface Cut {
  /** The picture that the sent bytes make, for the hello. */
  readonly picture: Picture;
  readonly stretches: readonly Stretch[];
  /** True: every picture has its full size. False (one piece): it has as many bytes as the driver says. */
  readonly whole: boolean;
  /** Bytes that each memory plane must have for the stretches. */
  readonly needs: readonly number[];
}

/** `sizeimage` has 32 bits in the hello. */
const MAX_SIZEIMAGE = 0xffff_ffff;

/** Decides which parts of buffers in that format are sent. Throws UnavailableError when the picture does not fit. */
export function cutPicture(path: string, agreed: QueueFormat): Cut {
  const { planes, width, height } = agreed;
  const format = pixelFormat(agreed.fourcc);
  const cut = format === undefined ? wholePlanes(agreed, agreed.fourcc) : cutRows(agreed, format);
  const fits = cut.needs.every((needs, i) => needs <= (planes[i]?.sizeimage ?? 0));
  if (!fits || cut.picture.sizeimage > MAX_SIZEIMAGE) {
    const has = planes.map((p) => `${p.sizeimage} bytes in rows of ${p.bytesperline}`).join(" + ");
    const what = `${width}x${height} ${fourccName(agreed.fourcc)}, which needs ${cut.needs.join(" + ")}`;
    throw new UnavailableError(
      `VIDIOC_S_FMT ${path}: the driver answered ${has} for ${what}; try another size or format`,
    );
  }
  return cut;
}

/** The planes as they are, for formats whose rows are unknown and for rows without padding. */
function wholePlanes({ width, height, planes }: QueueFormat, pixelformat: number): Cut {
  const sizes = planes.map((plane) => plane.sizeimage);
  return {
    picture: { width, height, pixelformat, sizeimage: sizes.reduce((sum, size) => sum + size, 0) },
    stretches: sizes.map((length, plane) => ({ plane, offset: 0, length })),
    whole: planes.length > 1,
    needs: sizes,
  };
}

function cutRows(agreed: QueueFormat, format: PixelFormat): Cut {
  const { width, height, planes } = agreed;
  const pixelformat = fourcc(format.sentAs ?? format.name);
  const tight = layoutOf(format, width, height);
  const separate = planes.length > 1;
  const strides = tight.map(({ rowBytes }, i) =>
    Math.max(rowBytes, separate ? (planes[i]?.bytesperline ?? 0) : strideOf(agreed, format, i)),
  );
  const padded = tight.some(({ rowBytes }, i) => (strides[i] ?? 0) > rowBytes);
  if (!padded && !separate) {
    const cut = wholePlanes(agreed, pixelformat);
    return {
      ...cut,
      needs: [Math.max(cut.picture.sizeimage, pictureBytes(format, width, height))],
    };
  }
  const stretches: Stretch[] = [];
  let start = 0;
  for (const [i, { rowBytes, rows }] of tight.entries()) {
    const stride = strides[i] ?? rowBytes;
    const plane = separate ? i : 0;
    const from = separate ? 0 : start;
    if (stride === rowBytes) stretches.push({ plane, offset: from, length: rowBytes * rows });
    else
      for (let y = 0; y < rows; y++)
        stretches.push({ plane, offset: from + y * stride, length: rowBytes });
    start += stride * rows;
  }
  const needs = new Array<number>(Math.max(planes.length, separate ? tight.length : 1)).fill(0);
  for (const { plane, offset, length } of stretches) {
    needs[plane] = Math.max(needs[plane] ?? 0, offset + length);
  }
  const sizeimage = pictureBytes(format, width, height);
  return { picture: { width, height, pixelformat, sizeimage }, stretches, whole: true, needs };
}

/** The memory of each stretch, from the address and length of each plane. Throws RangeError where one is outside. */
export function piecesOf(
  cut: Cut,
  planes: readonly { address: number; length: number }[],
): Piece[] {
  return cut.stretches.map(({ plane, offset, length }) => {
    const memory = planes[plane];
    if (memory === undefined || offset + length > memory.length) {
      throw new RangeError(`bytes ${offset} to ${offset + length} are outside plane ${plane}`);
    }
    return { address: memory.address + offset, length };
  });
}
