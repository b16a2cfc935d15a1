// Paints the pictures of the built-in source again: received pictures are compared with them byte by byte.
import { openTestSource } from "../../src/capture/testsrc.ts";

export interface Wish {
  readonly device?: string;
  readonly width: number;
  readonly height: number;
  readonly format: string;
}

/** The first `count` pictures of the built-in source, one after the other. */
export function painted({ device = "testsrc", ...wish }: Wish, count: number): Uint8Array {
  using source = openTestSource(device, { ...wish, fps: 0, buffers: 1 });
  const { sizeimage } = source.picture;
  const all = new Uint8Array(count * sizeimage);
  const [buffer] = source.buffers;
  if (buffer === undefined) throw new Error("the built-in source has no buffer");
  source.start();
  for (let n = 0; n < count; n++) {
    using _frame = source.next();
    all.set(buffer.mapping.bytes, n * sizeimage);
  }
  return all;
}

/** The sender's options for such pictures, at full speed. */
export const wishWords = ({ device = "testsrc", width, height, format }: Wish): string[] => [
  ...["-d", device, "-W", String(width), "-H", String(height), "-f", format, "-r", "0"],
];

/** True when two byte arrays are equal; `expect` would print megabytes. */
export const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
