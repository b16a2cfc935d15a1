// Finds the frames in a byte stream of FWHT: a buffer may hold several frames and end in the middle of one. Header:
// struct fwht_cframe_hdr of the kernel's vicodec, eleven big-endian words.

/** Reads `length` bytes from byte `at` of the buffer into `to`; false when the buffer does not have them. */
export type Reader = (to: Uint8Array<ArrayBuffer>, length: number, at: number) => boolean;

/** What was found next: a whole frame, the end of the buffer, or bytes that are not FWHT. */
export type Found = "frame" | "end" | "foreign";

const HEADER_BYTES = 44;
const MAGIC = [0x4f, 0x4f, 0x4f, 0x4f, 0xff, 0xff, 0xff, 0xff];
const WIDTH = 12;
const HEIGHT = 16;
const SIZE = 40;

export class FwhtCutter {
  /** Size of the picture of the frame found last, pixels. */
  width = 0;
  height = 0;
  readonly #header = new Uint8Array(new ArrayBuffer(HEADER_BYTES));
  readonly #view = new DataView(this.#header.buffer);
  readonly #scratch = new Uint8Array(new ArrayBuffer(HEADER_BYTES));
  #have = 0;
  /** Bytes of the frame's body that are still missing; undefined between frames. */
  #bodyLeft: number | undefined;

  /** Drops a partial frame: the next bytes are from another place of the stream. */
  reset(): void {
    this.#have = 0;
    this.#bodyLeft = undefined;
  }

  /** Reads on from byte `at` of a buffer of `size` bytes to the end of the next frame; `at` is where it stopped. */
  next(read: Reader, at: number, size: number): { readonly found: Found; readonly at: number } {
    if (this.#bodyLeft === undefined) {
      const fresh = this.#have === 0;
      const wanted = Math.min(HEADER_BYTES - this.#have, size - at);
      if (!read(this.#scratch, wanted, at)) return { found: "end", at: size };
      this.#header.set(this.#scratch.subarray(0, wanted), this.#have);
      this.#have += wanted;
      const checked = Math.min(this.#have, MAGIC.length);
      if (MAGIC.slice(0, checked).some((byte, i) => this.#header[i] !== byte)) {
        this.#have = 0;
        return { found: fresh && at === 0 ? "foreign" : "end", at: size };
      }
      if (this.#have < HEADER_BYTES) return { found: "end", at: size };
      this.#have = 0;
      this.#bodyLeft = this.#view.getUint32(SIZE);
      this.width = this.#view.getUint32(WIDTH);
      this.height = this.#view.getUint32(HEIGHT);
      return this.#body(at + wanted, size);
    }
    return this.#body(at, size);
  }

  #body(at: number, size: number): { readonly found: Found; readonly at: number } {
    const left = this.#bodyLeft ?? 0;
    const here = Math.min(left, size - at);
    if (here < left) {
      this.#bodyLeft = left - here;
      return { found: "end", at: size };
    }
    this.#bodyLeft = undefined;
    return { found: "frame", at: at + here };
  }
}
