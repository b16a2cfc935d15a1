// Which stretches of a camera's buffer make the picture that is sent: rows without their padding, planes one
// after the other.
import type { Piece } from "../../ffi/gather.ts";
import { fourcc, fourccName, pixelFormat } from "../format/formats.ts";
import { layoutOf, type Picture } from "../format/layout.ts";
import type { Negotiated } from "./negotiate.ts";

/** A stretch of a memory plane. */
interface Stretch {
  readonly plane: number;
  readonly offset: number;
  readonly length: number;
}

export interface Cut {
  /** What the sent bytes are, for the hello. */
  readonly picture: Picture;
  readonly stretches: readonly Stretch[];
  /** Whether the picture always has all its bytes (rows are picked out), or as many as the driver says. */
  readonly whole: boolean;
  /** Bytes of each memory plane that the stretches reach into. */
  readonly needs: readonly number[];
}

/** Decides how pictures are cut out of buffers with that layout. */
export function cutPicture(agreed: Negotiated): Cut {
  const { width, height, pixelformat, planes } = agreed;
  const format = pixelFormat(pixelformat);
  const asIs: Cut = {
    picture: {
      width,
      height,
      pixelformat,
      sizeimage: planes.reduce((sum, p) => sum + p.sizeimage, 0),
    },
    stretches: planes.map((plane, i) => ({ plane: i, offset: 0, length: plane.sizeimage })),
    whole: planes.length > 1,
    needs: planes.map((plane) => plane.sizeimage),
  };
  if (format === undefined) return asIs;
  const tight = layoutOf(format, width, height);
  const separate = planes.length > 1;
  const first = planes[0]?.bytesperline ?? 0;
  const strides = tight.map((layout, i) => {
    // videodev2: in one memory plane the chroma rows are padded in proportion to the luma rows.
    const own = separate
      ? (planes[i]?.bytesperline ?? 0)
      : (first * layout.rowBytes) / (tight[0]?.rowBytes ?? 1);
    return own === 0 ? layout.rowBytes : Math.floor(own);
  });
  const padded = tight.some((layout, i) => (strides[i] ?? 0) > layout.rowBytes);
  if (!padded && !separate) return asIs;
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
  const needs = planes.map((_, plane) =>
    Math.max(0, ...stretches.filter((s) => s.plane === plane).map((s) => s.offset + s.length)),
  );
  const sizeimage = stretches.reduce((sum, s) => sum + s.length, 0);
  const name = format.sentAs ?? fourccName(pixelformat);
  return {
    picture: { width, height, pixelformat: fourcc(name), sizeimage },
    stretches,
    whole: true,
    needs,
  };
}

/** The stretches as memory, given the address and length of each plane. Throws RangeError where one is outside. */
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
