// Compares the received pictures of the built-in source with what was painted.
import { openTestSource } from "../src/capture/testsrc.ts";
import { Canvas } from "../src/format/canvas.ts";
import { pixelFormatNamed } from "../src/format/formats.ts";
import { encodePng } from "../src/format/png.ts";
import { StampedBuffer } from "../src/format/stamp.ts";

/**
 * Paints the pictures again and compares them with the file, byte by byte, each with the one of its own number: a busy
 * machine drops pictures, and then the next one follows. Throws at the first
 * difference; answers the last picture as PNG.
 */
export async function comparePictures(
  raw: string,
  frames: number,
  wish: { readonly width: number; readonly height: number; readonly format: string },
): Promise<Uint8Array> {
  using source = openTestSource("testsrc", { ...wish, fps: 0, buffers: 1 });
  const { sizeimage } = source.picture;
  const painted = source.buffers[0]?.mapping.bytes;
  const format = pixelFormatNamed(wish.format);
  const file = Bun.file(raw);
  if (painted === undefined || format === undefined)
    throw new Error("the built-in source has no picture");
  if (file.size !== frames * sizeimage)
    throw new Error(`${file.size} bytes arrived, the receiver counted ${frames} pictures`);
  const arrived = new Uint8Array(new ArrayBuffer(sizeimage));
  const stamped = new StampedBuffer(arrived);
  source.start();
  for (let n = 0, number = -1; n < frames; n++) {
    arrived.set(await file.slice(n * sizeimage, (n + 1) * sizeimage).bytes());
    const wanted = stamped.read();
    if (typeof wanted === "string" || wanted <= number)
      throw new Error(`picture ${n} is ${wanted}, after number ${number}`);
    for (; number < wanted; number++) {
      using _frame = source.next();
    }
    if (Buffer.compare(arrived, painted) !== 0)
      throw new Error(`picture ${n}, number ${wanted}, differs from what was painted`);
  }
  return encodePng(new Canvas(painted, format, wish.width, wish.height));
}
