// Brings the pictures of a source into the guest's buffers: one copy where size and format are the guest's, a conversion and a copy
// where they are not. The stand-by card goes the same way.
import { copyMemory } from "../../ffi/copy.ts";
import type { Piece } from "../../ffi/gather.ts";
import { addressOf } from "../../ffi/libc.ts";
import { isConvertible } from "../format/convertible.ts";
import { pixelFormat } from "../format/formats.ts";
import { MadePicture } from "../format/made-picture.ts";
import { layoutOf, type Picture, type TargetFormat, wholeBytes } from "../format/picture-layout.ts";
import { PictureMaker } from "../format/picture-maker.ts";
import { StandbyCard } from "../format/standby-card.ts";
import type { GuestMemory } from "../virtio/virtio-device.ts";
import type { CaptureBuffer } from "./capture-buffer.ts";
import type { ShownFrame } from "./media-source.ts";
import type { Mode } from "./offers.ts";

/** One piece of memory, as the list of pieces that buffers are filled from. */
class OnePiece {
  readonly #piece = { address: 0, length: 0 };
  readonly list: readonly Piece[] = [this.#piece];

  at(address: number, length: number): readonly Piece[] {
    this.#piece.address = address;
    this.#piece.length = length;
    return this.list;
  }
}

/** The mode as a format that pictures are made in. */
function targetOf({ width, height, pixelformat, sizeimage }: Mode): TargetFormat {
  const format = pixelFormat(pixelformat);
  const planes = format === undefined ? [] : layoutOf(format, width, height);
  return { width, height, pixelformat, planes, bytes: sizeimage };
}

export class PictureFit implements Disposable {
  readonly #mode: Mode;
  readonly #target: TargetFormat;
  readonly #one = new OnePiece();
  #picture: Picture | undefined;
  /** Bytes of a frame that needs no conversion; 0: the source's format is another one. */
  #direct = 0;
  #made: MadePicture | undefined;
  #maker: PictureMaker | undefined;
  /** For frames in several pieces that have to be converted. */
  #gathered: Uint8Array<ArrayBuffer> | undefined;
  #card: StandbyCard | undefined;

  constructor(mode: Mode) {
    this.#mode = mode;
    this.#target = targetOf(mode);
  }

  /** The next frames have this size and format. */
  begin(picture: Picture): void {
    this.#drop();
    this.#picture = picture;
    const { width, height, pixelformat } = this.#mode;
    const same =
      picture.width === width && picture.height === height && picture.pixelformat === pixelformat;
    this.#direct = same ? wholeBytes(picture) : 0;
  }

  /** Whether the frame is in the guest's format as it is. Compressed frames have any size. */
  #isDirect(bytes: number): boolean {
    if (this.#direct === 0) return false;
    return pixelFormat(this.#mode.pixelformat) === undefined || bytes === this.#direct;
  }

  /**
   * Fills `buffer` with the picture of `frame`. Answers what is wrong with the frame, or undefined. Throws ProtocolError for a
   * source whose pictures cannot be converted, UnavailableError when a library is missing.
   */
  copy(frame: ShownFrame, buffer: CaptureBuffer, memory: GuestMemory): string | undefined {
    const { pieces, bytesused } = frame;
    if (this.#isDirect(bytesused)) return wrongIf(!buffer.fill(pieces, bytesused, memory));
    const address = bytesused > 0 ? this.#contiguous(pieces, bytesused) : undefined;
    if (address === undefined) return `it has no ${bytesused} bytes`;
    const picture = this.#picture;
    if (picture === undefined) return "no picture was announced";
    this.#made ??= new MadePicture(this.#target);
    this.#maker ??= new PictureMaker(picture, this.#made);
    const wrong = this.#maker.make(address, bytesused);
    return wrong ?? this.#put(this.#made, buffer, memory);
  }

  /**
   * Fills `buffer` with a card of those lines. False when no card can be made in the guest's format. Throws UnavailableError when a
   * library is missing.
   */
  card(lines: readonly string[], buffer: CaptureBuffer, memory: GuestMemory): boolean {
    if (!isConvertible(this.#mode.pixelformat)) return false;
    this.#card ??= new StandbyCard(this.#target);
    return this.#put(this.#card.with(lines), buffer, memory) === undefined;
  }

  #put(made: MadePicture, buffer: CaptureBuffer, memory: GuestMemory): string | undefined {
    const { address, length } = made;
    if (length === 0) return "its JPEG is larger than the buffer";
    return wrongIf(!buffer.fill(this.#one.at(address, length), length, memory));
  }

  /** The address of the frame in one piece; undefined when it is shorter. */
  #contiguous(pieces: readonly Piece[], bytes: number): number | undefined {
    const [first] = pieces;
    if (pieces.length === 1 && first !== undefined)
      return first.length >= bytes ? first.address : undefined;
    if (this.#gathered === undefined || this.#gathered.length < bytes)
      this.#gathered = new Uint8Array(new ArrayBuffer(bytes));
    const to = addressOf(this.#gathered);
    let done = 0;
    for (const { address, length } of pieces) {
      const n = Math.min(length, bytes - done);
      copyMemory(to + done, address, n);
      done += n;
    }
    return done === bytes ? to : undefined;
  }

  #drop(): void {
    this.#maker?.[Symbol.dispose]();
    this.#maker = undefined;
    this.#made?.[Symbol.dispose]();
    this.#made = undefined;
    this.#gathered = undefined;
  }

  [Symbol.dispose](): void {
    this.#drop();
    this.#card?.[Symbol.dispose]();
    this.#card = undefined;
  }
}

const wrongIf = (unfilled: boolean): string | undefined =>
  unfilled ? "the guest's buffer has no room for it, or its memory is gone" : undefined;
