// Makes the pictures of a camera from those of a stream that has another size or format: decoded where they are JPEG,
// scaled into the largest part of the same shape, with a black border.
import { JpegDecoder } from "../../ffi/turbojpeg.ts";
import { needLibrary, ProtocolError } from "../errors.ts";
import { type Convert, copyAndScale, copyInto, type Size, scalerFor } from "./conversion.ts";
import { formatText, isConvertible } from "./convertible.ts";
import { pixelFormat } from "./formats.ts";
import { drawn, type MadePicture } from "./made-picture.ts";
import type { Picture } from "./picture-layout.ts";
import { PictureMemory } from "./picture-memory.ts";

export class PictureMaker implements Disposable {
  readonly #to: MadePicture;
  readonly #owned = new DisposableStack();
  readonly #fill: Convert;

  /**
   * Makes pictures in `to`, which the caller owns. Throws ProtocolError for a stream that cannot be converted,
   * UnavailableError when a library is missing.
   */
  constructor(from: Picture, to: MadePicture) {
    if (!isConvertible(from.pixelformat))
      throw new ProtocolError(`hello: ${formatText(from)} cannot be converted for the camera`);
    this.#to = to;
    const { memory } = to;
    const canvas = memory.canvas();
    canvas.fill(0, 0, memory.width, memory.height, canvas.encode([0, 0, 0]));
    const format = pixelFormat(from.pixelformat);
    using owned = new DisposableStack();
    const same = format === memory.format && sameSize(from, memory);
    if (format === undefined) this.#fill = decodeAndScale(from, memory, owned);
    else if (same) this.#fill = copyInto(from, format, memory);
    else this.#fill = copyAndScale(from, format, memory, owned);
    this.#owned = owned.move();
  }

  /** Makes the picture from a frame of the stream. Answers what is wrong with the frame, or undefined. Throws CallError. */
  make(address: number, bytes: number): string | undefined {
    const wrong = this.#fill(address, bytes);
    if (wrong === undefined) this.#to.finish();
    return wrong;
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

const sameSize = (a: Size, b: Size) => a.width === b.width && a.height === b.height;

function decodeAndScale(
  { width, height }: Size,
  to: PictureMemory,
  owned: DisposableStack,
): Convert {
  const decoder = owned.use(needLibrary(() => new JpegDecoder(), "libturbojpeg0"));
  const source = new PictureMemory(drawn, width, height);
  const scale = scalerFor(source, to, owned);
  const decoded = { address: source.address, pitch: width * 4, width, height };
  return (address, bytes) => {
    const wrong = decoder.decode(address, bytes, decoded);
    if (wrong === undefined) scale();
    return wrong;
  };
}
