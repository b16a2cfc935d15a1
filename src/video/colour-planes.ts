// The layout of pictures in their buffers, from a format's planes: with the stride of the first plane.
import type { VideoFormat } from "./formats.ts";
import type { Plane } from "./resource.ts";

/** The colour planes of a picture, one after the other; `stride` bytes per row of the first, in proportion for the others. */
export function colourPlanes(
  format: VideoFormat,
  stride: number,
  height: number,
): readonly Plane[] {
  const [first] = format.planes;
  let at = 0;
  return format.planes.map((plane) => {
    const row =
      first === undefined
        ? 0
        : (stride * plane.bytes * first.across) / (plane.across * first.bytes);
    const length = Math.ceil(row) * Math.ceil(height / plane.down);
    at += length;
    return { offset: at - length, length };
  });
}

/** Bytes of all of them. */
export function planesBytes(planes: readonly Plane[]): number {
  return planes.reduce((sum, { length }) => sum + length, 0);
}
