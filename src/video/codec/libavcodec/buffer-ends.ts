// Learns whether the guest ends its buffers where units of the bitstream end. Most programs put one unit into each buffer. Then a
// unit needs not wait for the buffer after it, which shows where the unit ends.

/** So many buffers in sequence must end where a unit ends; then units no longer wait for the next buffer. */
const ENOUGH = 3;
/** The parser of HEVC leaves the first zero of a start code of four bytes to the unit before. */
const SLACK = 1;

/** Whether a piece that begins with this start code, by its bytes after 00 00 01, begins a unit. */
type Begins = (code: number, second: number, third: number) => boolean;

const FIRST = 0x80; // first_mb_in_slice is 0, or first_slice_segment_in_pic_flag is 1
const begins: Readonly<Record<string, Begins>> = {
  // ITU-T H.264, 7.4.1: slices 1, 2, 5; partitions 3, 4.
  h264: (code, second) => {
    const type = code & 0x1f;
    if (type === 1 || type === 2 || type === 5) return (second & FIRST) !== 0;
    return type !== 3 && type !== 4;
  },
  // ITU-T H.265, 7.4.2.2: slices are below 32; 36 to 38 and 40 end a picture.
  hevc: (code, _second, third) => {
    const type = (code >> 1) & 0x3f;
    if (type < 32) return (third & FIRST) !== 0;
    return type < 36 || type === 39;
  },
  // ISO/IEC 13818-2, 6.2.1: picture, sequence header, group of pictures.
  mpeg2video: (code) => code === 0x00 || code === 0xb3 || code === 0xb8,
  // ISO/IEC 14496-2, 6.2.1: headers and video object planes. All of a picture follows one start code.
  mpeg4: (code) => code <= 0x2f || code >= 0xb0,
};

export class BufferEnds {
  readonly #begins: Begins;
  /** Bytes of the buffers before the present one, and with it. */
  #before = 0;
  #total = 0;
  /** Bytes of the units found. */
  #units = 0;
  #good = 0;
  /** A buffer has ended in the middle of a unit. From then on each unit waits for the next buffer. */
  #cut = false;

  /** For a codec by FFmpeg's name. */
  constructor(codec: string) {
    this.#begins = begins[codec] ?? (() => false);
  }

  /** Whether the unit at the end of the present buffer is complete. */
  get believed(): boolean {
    return this.#good >= ENOUGH && !this.#cut;
  }

  /** Whether bytes came that belong to a unit whose end was not seen yet. */
  get held(): boolean {
    return this.#units < this.#total;
  }

  /** A buffer comes: its length, its first bytes. */
  buffer(length: number, bytes: Uint8Array<ArrayBuffer>): void {
    this.#before = this.#total;
    this.#total += length;
    if (this.#before > 0 && !this.#beginsUnit(bytes)) this.#cut = true;
  }

  #beginsUnit(bytes: Uint8Array<ArrayBuffer>): boolean {
    const at = bytes[2] === 0 ? 3 : 2;
    if (bytes[0] !== 0 || bytes[1] !== 0 || bytes[at] !== 1) return false;
    return this.#begins(bytes[at + 1] ?? 0, bytes[at + 2] ?? 0, bytes[at + 3] ?? 0);
  }

  /** A unit was found, in the order of the bitstream. */
  unit(length: number): void {
    const from = this.#units;
    this.#units += length;
    if (from >= this.#before || this.#units < this.#before) return;
    if (this.#units - this.#before <= SLACK) this.#good += 1;
    else this.#cut = true;
  }

  /** All bytes were found to be units. */
  flushed(): void {
    this.#units = this.#total;
  }

  /** A new bitstream begins. What was learned stays. */
  reset(): void {
    this.#before = 0;
    this.#total = 0;
    this.#units = 0;
  }
}
