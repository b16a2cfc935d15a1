// Pictures as PNG files, by the fast-png library (docs/decisions/0005-png.md).
import { encode } from "fast-png";
import type { Canvas } from "./canvas.ts";

/** Rows of RGB bytes as a PNG. `level` 0 to 9: how hard it tries to make it small. */
export function encodeRgb(
  picture: { readonly width: number; readonly height: number; readonly data: Uint8Array },
  level = 6,
): Uint8Array {
  return encode({ ...picture, channels: 3, depth: 8 }, { zlib: { level: level as 6 } });
}

/** The picture as a PNG, 8-bit RGB. */
export function encodePng(canvas: Canvas): Uint8Array {
  return encodeRgb({ width: canvas.width, height: canvas.height, data: canvas.toRgb() });
}
