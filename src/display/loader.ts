// Loads frames into textures: unchanged if SDL has a texture for the format, otherwise decoded or converted.
import { addressOf } from "../../ffi/libc.ts";
import { SDL_PIXELFORMAT_RGB888, type Size } from "../../ffi/sdl2.ts";
import type { SdlTexture } from "../../ffi/sdl2-texture.ts";
import { JpegDecoder } from "../../ffi/turbojpeg.ts";
import { needLibrary, ProtocolError } from "../errors.ts";
import { copyAndScale } from "../format/conversion.ts";
import { checkDecoded } from "../format/decoded.ts";
import {
  formats,
  fourccName,
  type PixelFormat,
  pixelFormat,
  pixelFormatNamed,
} from "../format/formats.ts";
import { layoutOf, type Picture, pictureBytes } from "../format/picture-layout.ts";
import { PictureMemory } from "../format/picture-memory.ts";
import { type PlaneRows, RowFinder, unfitText } from "../format/rows.ts";

export interface Loader extends Disposable {
  /** SDL_PixelFormatEnum of the textures. */
  readonly texture: number;
  /** The picture size whose layout equals a locked texture, if the pitch of the texture is `rowBytes`. */
  readonly exact: { readonly bytes: number; readonly rowBytes: number } | undefined;
  /** Whether a picture can have this many bytes. One that is cut short is not shown. */
  accepts(bytes: number): boolean;
  /** Loads a picture into a texture. Answers why a damaged picture cannot be shown. Throws CallError. */
  load(texture: SdlTexture, address: number, bytes: number): string | undefined;
  /** A faster loader for renderers without a GPU, if there is one. */
  onCpu?(): Loader | undefined;
}

/** Decoders of the compressed formats that can be shown. */
const decoders: Readonly<Record<string, (size: Size) => Loader>> = {
  MJPG: jpegLoader,
  JPEG: jpegLoader,
};

/** Names of the formats that can be shown. */
export const displayable: readonly string[] = [
  ...formats.filter((format) => format.sentAs === undefined).map((format) => format.name),
  ...Object.keys(decoders),
];

/**
 * The loader for a stream. `maxFrame` is the limit in bytes for a decoded picture. Throws ProtocolError if the stream
 * cannot be shown, UnavailableError if the library of the decoder is missing.
 */
export function loaderFor(picture: Picture, maxFrame: number): Loader {
  const { width, height, pixelformat } = picture;
  const format = pixelFormat(pixelformat);
  if (format !== undefined && format.sentAs === undefined) {
    if (picture.sizeimage < pictureBytes(format, width, height))
      throw new ProtocolError(`hello: ${unfitText(format, picture, picture.sizeimage)}`);
    if (format.sdl === undefined) return scalingLoader(format, picture);
    return new RawLoader(format, picture, format.sdl);
  }
  const name = fourccName(pixelformat);
  const decoder = decoders[name];
  if (decoder === undefined)
    throw new ProtocolError(`hello: ${name} cannot be shown; ${displayable.join(", ")} can`);
  checkDecoded(picture, maxFrame);
  return decoder(picture);
}

interface MutablePlane {
  address: number;
  pitch: number;
}

/** Loads rows unchanged. */
class RawLoader implements Loader {
  readonly texture: number;
  readonly exact: Loader["exact"];
  readonly #even: boolean;
  readonly #rows: FrameRows;
  /** Planes of the picture, in memory order and in SDL's order (Y, U, V). */
  readonly #planes: readonly MutablePlane[];
  readonly #ordered: readonly MutablePlane[];
  /** Neutral chroma for a grey picture. */
  readonly #neutral: Uint8Array<ArrayBuffer> | undefined;

  constructor(format: PixelFormat, picture: Picture, texture: number) {
    this.texture = texture;
    const { width, height } = picture;
    const layout = layoutOf(format, width, height);
    const tight = pictureBytes(format, width, height);
    this.#rows = new FrameRows(format, picture);
    this.#planes = layout.map(() => ({ address: 0, pitch: 0 }));
    const order = [...new Set(format.components.map(({ plane }) => plane))];
    const ordered = order.flatMap((plane) => this.#planes[plane] ?? []);
    if (format.model === "grey") {
      const pitch = Math.ceil(width / 2);
      this.#neutral = new Uint8Array(new ArrayBuffer(pitch * Math.ceil(height / 2))).fill(128);
      const chroma = { address: addressOf(this.#neutral), pitch };
      this.#ordered = [...ordered, chroma, chroma];
    } else this.#ordered = ordered;
    // SDL rounds the chroma of odd sizes differently, so odd sizes are copied plane by plane.
    const even = layout.length === 1 || (width % 2 === 0 && height % 2 === 0);
    const rowBytes = layout[0]?.rowBytes ?? 0;
    this.#even = even && format.model !== "grey";
    this.exact = this.#even ? { bytes: tight, rowBytes } : undefined;
  }

  accepts(bytes: number): boolean {
    return this.#rows.of(bytes) !== undefined;
  }

  load(texture: SdlTexture, address: number, bytes: number): undefined {
    const rows = this.#rows.of(bytes);
    for (let i = 0; i < this.#planes.length; i++) {
      const plane = this.#planes[i];
      const { offset = 0, stride = 0 } = rows?.[i] ?? {};
      if (plane === undefined) continue;
      plane.address = address + offset;
      plane.pitch = stride;
    }
    texture.update(this.#ordered);
  }

  onCpu(): Loader | undefined {
    if (this.texture === SDL_PIXELFORMAT_RGB888 || !this.#even) return undefined;
    return new ConvertingLoader(this.texture, this.#rows);
  }

  [Symbol.dispose](): void {}
}

/**
 * Converts rows once, to the pixel format of windows. SDL itself would copy a picture and convert it twice, because its
 * textures for YCbCr have another pixel format than windows: docs/decisions/0011-without-a-gpu.md.
 */
class ConvertingLoader implements Loader {
  readonly texture = SDL_PIXELFORMAT_RGB888;
  readonly exact = undefined;
  readonly #from: number;
  readonly #rows: FrameRows;

  constructor(from: number, rows: FrameRows) {
    this.#from = from;
    this.#rows = rows;
  }

  accepts(bytes: number): boolean {
    return this.#rows.of(bytes) !== undefined;
  }

  load(texture: SdlTexture, address: number, bytes: number): undefined {
    texture.convert(this.#from, address, this.#rows.of(bytes)?.[0]?.stride ?? 0);
  }

  [Symbol.dispose](): void {}
}

/** Where the rows of a frame are. */
class FrameRows {
  readonly #format: PixelFormat;
  readonly #picture: Picture;
  readonly #finder: RowFinder;

  constructor(format: PixelFormat, picture: Picture) {
    this.#format = format;
    this.#picture = picture;
    this.#finder = new RowFinder(format, picture);
  }

  /** Undefined for a frame that is cut short. Throws ProtocolError for one that is too long for any padding. */
  of(bytes: number): readonly PlaneRows[] | undefined {
    const rows = this.#finder.find(bytes);
    if (rows === "short") return undefined;
    if (rows !== undefined) return rows;
    throw new ProtocolError(`frame: ${unfitText(this.#format, this.#picture, bytes)}`);
  }
}

/** Converts with libswscale, to the pixel format of windows. */
function scalingLoader(format: PixelFormat, picture: Picture): Loader {
  const { width, height } = picture;
  const made = new PictureMemory(windowFormat, width, height);
  const planes = [{ address: made.address, pitch: made.planes[0]?.rowBytes ?? 0 }];
  const rows = new FrameRows(format, picture);
  using owned = new DisposableStack();
  const convert = copyAndScale(picture, format, made, owned);
  const release = owned.move();
  return {
    texture: SDL_PIXELFORMAT_RGB888,
    exact: undefined,
    accepts: (bytes) => rows.of(bytes) !== undefined,
    load(texture, address, bytes) {
      const wrong = convert(address, bytes);
      if (wrong === undefined) texture.update(planes);
      return wrong;
    },
    [Symbol.dispose]: () => release.dispose(),
  };
}

/** The format of V4L2 with the bytes of SDL_PIXELFORMAT_RGB888. */
const windowFormat = pixelFormatNamed("XR24") as PixelFormat;

function jpegLoader(): Loader {
  const decoder = needLibrary(() => new JpegDecoder(), "libturbojpeg0");
  const to = { address: 0, pitch: 0, width: 0, height: 0 };
  return {
    texture: SDL_PIXELFORMAT_RGB888,
    exact: undefined,
    accepts: (bytes) => bytes > 0,
    load(texture, address, bytes) {
      to.address = texture.lock();
      to.pitch = texture.pitch;
      to.width = texture.width;
      to.height = texture.height;
      const wrong = decoder.decode(address, bytes, to);
      if (wrong === undefined) texture.unlock();
      return wrong;
    },
    [Symbol.dispose]: () => decoder[Symbol.dispose](),
  };
}
