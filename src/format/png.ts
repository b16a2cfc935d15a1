// Encodes pictures as PNG with the fast-png library (docs/decisions/0005-png.md).
import { encode } from "fast-png";
import type { Canvas } from "./canvas.ts";

/** Encodes rows of RGB bytes. `level` 0 to 9 is the compression level; more takes longer. */
export function encodeRgb(
  picture: { readonly width: number; readonly height: number; readonly data: Uint8Array },
  level = 6,
): Uint8Array {
  return encode({ ...picture, channels: 3, depth: 8 }, { zlib: { level: level as 6 } });
}

/** Encodes a picture as 8-bit RGB. */
export function encodePng(canvas: Canvas): Uint8Array {
  return encodeRgb({ width: canvas.width, height: canvas.height, data: canvas.toRgb() });
}
