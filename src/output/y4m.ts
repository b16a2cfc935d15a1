// YUV4MPEG2 headers. https://wiki.multimedia.cx/index.php/YUV4MPEG2
import type { Picture } from "../format/picture-layout.ts";
import { type FileRate, fileRate } from "./rate.ts";

/** Precedes each picture. */
export const y4mFrameMark = new Uint8Array(new TextEncoder().encode("FRAME\n").slice().buffer);

/** The stream header. It has the same length for every rate, so that it can be rewritten when the rate is known. */
export function y4mHeader(
  picture: Picture,
  colourSpace: string,
  { frames, scale }: FileRate = fileRate(30, 0),
): Uint8Array<ArrayBuffer> {
  const rate = `F${String(frames).padStart(8, "0")}:${scale}`;
  const text = `YUV4MPEG2 W${picture.width} H${picture.height} ${rate} Ip A1:1 C${colourSpace}\n`;
  return new Uint8Array(new TextEncoder().encode(text).slice().buffer);
}
