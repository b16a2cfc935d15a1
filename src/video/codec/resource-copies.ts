// The copies between a codec's memory and a resource: bitstream in its planes becomes one stretch, a picture is put into its planes.
import type { Plane, Resource } from "../resource.ts";

/** Copies the bitstream of a resource to the address `to`, which has room for `size` of it. False when its memory is gone. */
export function gatherBitstream(resource: Resource, to: number): boolean {
  let at = to;
  for (let i = 0; i < resource.planes.length; i++) {
    const length = resource.sizes[i] ?? 0;
    if (!resource.read(at, length, resource.planes[i]?.offset ?? 0)) return false;
    at += length;
  }
  return true;
}

/** Copies a picture of `bytes` bytes, whose planes are `colour`, from the address `from`. False when it has no room or memory. */
export function writePicture(
  resource: Resource,
  from: number,
  colour: readonly Plane[],
  bytes: number,
): boolean {
  if (resource.planes.length === 1)
    return resource.write(from, bytes, resource.planes[0]?.offset ?? 0);
  const places = resource.places(colour);
  for (let i = 0; i < colour.length; i++) {
    const plane = colour[i];
    if (plane === undefined) continue;
    if (!resource.write(from + plane.offset, plane.length, places[i] ?? 0)) return false;
  }
  return true;
}
