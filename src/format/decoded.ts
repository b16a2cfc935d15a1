// A limit for compressed pictures: a hello of a few bytes can announce one of a gigabyte.
import { ProtocolError } from "../errors.ts";
import { fourccName } from "./formats.ts";
import type { Picture } from "./picture-layout.ts";

/** A compressed picture counts as one of the usual formats of cameras, YUYV for example. */
const BYTES_PER_PIXEL = 2;

/** Throws ProtocolError for a compressed picture that would have more than `maxFrame` bytes (--max-frame). */
export function checkDecoded({ width, height, pixelformat }: Picture, maxFrame: number): void {
  const bytes = width * height * BYTES_PER_PIXEL;
  if (bytes <= maxFrame) return;
  const what = `${width}x${height} ${fourccName(pixelformat)}`;
  throw new ProtocolError(
    `hello: ${what} is ${bytes} bytes decoded, must be 1 to ${maxFrame} (--max-frame)`,
  );
}
