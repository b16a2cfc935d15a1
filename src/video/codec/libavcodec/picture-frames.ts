// Pictures that the daemon copies from where the decoder has put them, so that the decoder's process copies nothing. A frame stays
// unchanged until the daemon grants the slot that the picture was announced with again.
import type { AvFrame } from "../../../../ffi/av-frame.ts";
import type { AvLibrary } from "../../../../ffi/libavcodec.ts";
import { CallError, LibraryError } from "../../../../ffi/library.ts";
import { PictureMemory, type PictureSpace } from "../../../../ffi/picture-memory.ts";
import type { PicturePlaces } from "../../../../ffi/picture-writer.ts";
import type { DecoderRecord } from "./channel.ts";
import { PICTURE_SLOTS } from "./messages.ts";

const NONE = -1;

export class PictureFrames implements Disposable {
  /** Undefined when the library is not as expected: then every picture is copied to its slot. */
  readonly memory: PictureMemory | undefined;
  /** The frame that was announced with each slot. */
  readonly #frames = new Array<number>(PICTURE_SLOTS).fill(NONE);
  /** The picture that `find` has found: its frame, and where its planes begin there, in the order of the guest. */
  #found = NONE;
  readonly #planes = [0, 0, 0];

  constructor(library: AvLibrary, space: PictureSpace) {
    this.memory = openMemory(library, space);
  }

  /** Whether the picture lies in a frame as the guest wants it, so that it need not be written. */
  find(picture: AvFrame, { format, planes: [y, u, v] }: PicturePlaces): boolean {
    const { memory } = this;
    if (memory === undefined || format !== "yuv420p") return false;
    if (y === undefined || u === undefined || v === undefined) return false;
    const frame = memory.slotOf(picture["data[0]"]);
    // A frame that is shown twice is copied the second time.
    if (frame < 0 || memory.isKept(frame)) return false;
    if (
      picture["linesize[0]"] !== y.stride ||
      picture["linesize[1]"] !== u.stride ||
      picture["linesize[2]"] !== v.stride
    )
      return false;
    const at = memory.slotAt(frame);
    const swapped = v.offset < u.offset;
    this.#planes[0] = picture["data[0]"] - at;
    this.#planes[1] = (swapped ? picture["data[2]"] : picture["data[1]"]) - at;
    this.#planes[2] = (swapped ? picture["data[1]"] : picture["data[2]"]) - at;
    this.#found = frame;
    return true;
  }

  /** Announces the picture that was found, with the slot of the message. */
  announce(message: DecoderRecord): void {
    this.memory?.keep(this.#found);
    this.#frames[message.slot] = this.#found;
    message.frame = this.#found + 1;
    message["plane[0]"] = this.#planes[0] ?? 0;
    message["plane[1]"] = this.#planes[1] ?? 0;
    message["plane[2]"] = this.#planes[2] ?? 0;
  }

  /** The daemon has granted the slot again: it has copied the picture. */
  granted(slot: number): void {
    const frame = this.#frames[slot] ?? NONE;
    if (frame === NONE) return;
    this.memory?.release(frame);
    this.#frames[slot] = NONE;
  }

  [Symbol.dispose](): void {
    this.memory?.[Symbol.dispose]();
  }
}

function openMemory(library: AvLibrary, space: PictureSpace): PictureMemory | undefined {
  try {
    return new PictureMemory(library, space);
  } catch (error) {
    if (error instanceof CallError || error instanceof LibraryError) return undefined;
    throw error;
  }
}
