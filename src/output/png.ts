// Pictures as PNG files, by the fast-png library (docs/decisions/0005-png.md).
import { encode } from "fast-png";
import type { Canvas } from "../format/canvas.ts";

/** The picture as a PNG, 8-bit RGB. */
export function encodePng(canvas: Canvas): Uint8Array {
  return encode({
    width: canvas.width,
    height: canvas.height,
    data: canvas.toRgb(),
    channels: 3,
    depth: 8,
  });
}
