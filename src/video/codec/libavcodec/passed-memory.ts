// The shared memory that the daemon has passed to the process of a decoder: slots of bitstream, slots and frames of pictures, and
// the word that counts calls.
import { endOf, Fd } from "../../../../ffi/fd.ts";
import { Mapping } from "../../../../ffi/mapping.ts";
import type { PictureSpace } from "../../../../ffi/picture-memory.ts";
import {
  BITSTREAM_SLOTS,
  FRAMES,
  FRAMES_IN_ALL,
  inherited,
  PICTURE_SLOTS,
  PROGRESS_BYTES,
} from "./messages.ts";

export class PassedMemory implements Disposable {
  /** Bytes of a slot for pictures. */
  readonly pictureBytes: number;
  /** Where the frames are. */
  readonly frames: PictureSpace;
  readonly #bitstream: Mapping;
  readonly #bitstreamBytes: number;
  readonly #pictures: Mapping;
  readonly #progress: Uint32Array<ArrayBuffer>;
  readonly #owned: DisposableStack;

  /** Maps it. Throws SysError. */
  constructor() {
    using owned = new DisposableStack();
    using bitstream = new Fd(inherited.bitstream, "bitstream");
    using pictures = new Fd(inherited.pictures, "pictures");
    const map = (fd: Fd, length: number, offset: number) =>
      owned.use(new Mapping(fd.number, length, fd.name, undefined, offset));
    const slots = endOf(bitstream.number) - PROGRESS_BYTES;
    this.#bitstreamBytes = slots / BITSTREAM_SLOTS;
    this.#bitstream = map(bitstream, slots, 0);
    const progress = map(bitstream, PROGRESS_BYTES, slots);
    this.#progress = new Uint32Array(progress.bytes.buffer, 0, 1);
    const slotBytes = endOf(pictures.number) / FRAMES_IN_ALL;
    this.pictureBytes = 2 * slotBytes;
    const room = PICTURE_SLOTS * this.pictureBytes;
    this.#pictures = map(pictures, room, 0);
    const { address } = map(pictures, FRAMES * slotBytes, room);
    this.frames = { address, slots: FRAMES, slotBytes };
    this.#owned = owned.move();
  }

  /** The address of a slot of bitstream. */
  bitstreamAt(slot: number): number {
    return this.#bitstream.address + slot * this.#bitstreamBytes;
  }

  /** The address of a slot for a picture. */
  pictureAt(slot: number): number {
    return this.#pictures.address + slot * this.pictureBytes;
  }

  /** Counts a call of the decoder, for the daemon's watchdog. */
  progress(): void {
    this.#progress[0] = ((this.#progress[0] ?? 0) + 1) >>> 0;
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}
