// The layout of a picture in its buffer, from the planes of its format and the stride of the first plane.
import type { VideoFormat } from "./formats.ts";
import type { Plane } from "./resource.ts";

/** The colour planes of a picture, one after the other. `stride` is bytes per row of the first; others are in proportion. */
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

/** Bytes of all planes. */
export function planesBytes(planes: readonly Plane[]): number {
  return planes.reduce((sum, { length }) => sum + length, 0);
}
