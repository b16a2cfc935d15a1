// YUV4MPEG2 headers. https://wiki.multimedia.cx/index.php/YUV4MPEG2
import type { Picture } from "../format/picture-layout.ts";

/** Precedes each picture. */
export const y4mFrameMark = new Uint8Array(new TextEncoder().encode("FRAME\n").slice().buffer);

/** The stream header. It has the same length for every rate, so that it can be rewritten when the rate is known. */
export function y4mHeader(
  picture: Picture,
  colourSpace: string,
  fps = 30,
): Uint8Array<ArrayBuffer> {
  const milli = Math.max(1, Math.min(99_999_999, Math.round(fps * 1000)));
  const rate = `F${String(milli).padStart(8, "0")}:1000`;
  const text = `YUV4MPEG2 W${picture.width} H${picture.height} ${rate} Ip A1:1 C${colourSpace}\n`;
  return new Uint8Array(new TextEncoder().encode(text).slice().buffer);
}
