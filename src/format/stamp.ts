// The stamp in every picture of the built-in source: its first 32 bytes, big endian. It has the picture's number and a CRC-32
// (as in zlib and PNG) of the rest. A receiver recognises a wrong, torn, frozen or blank picture without knowing
// what was drawn. docs/stamp.md
import { n64, type Struct, struct, u32 } from "../../ffi/struct.ts";

export const STAMP_MAGIC = 0x46505331; // "FPS1"
export const STAMP_BYTES = 32;

export const stamp = struct(
  "framepass stamp",
  STAMP_BYTES,
  {
    magic: u32(0),
    reserved: u32(4),
    sequence: n64(8),
    picture_crc: u32(16), // of the bytes after the stamp
    reserved2: n64(20),
    stamp_crc: u32(28), // of the 28 bytes before it
  },
  "big",
);

/** Writes and reads the stamp of one buffer. Its views are made once. */
export class StampedBuffer {
  readonly #stamp: Struct<typeof stamp.fields>;
  readonly #head: Uint8Array<ArrayBuffer>;
  readonly #memory: Uint8Array<ArrayBuffer>;
  #body: Uint8Array<ArrayBuffer>;

  /** Throws RangeError for a buffer of STAMP_BYTES or less. */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    if (bytes.length <= STAMP_BYTES)
      throw new RangeError(`no room for a stamp in ${bytes.length} bytes`);
    this.#memory = bytes;
    this.#stamp = stamp.over(bytes);
    this.#head = bytes.subarray(0, STAMP_BYTES - 4);
    this.#body = bytes.subarray(STAMP_BYTES);
  }

  /** CRC-32 of the bytes between the stamp and `end`. */
  crcTo(end: number): number {
    return Bun.hash.crc32(this.#memory.subarray(STAMP_BYTES, Math.max(STAMP_BYTES, end)));
  }

  /** CRC-32 of all bytes after the stamp, where that of the bytes before `start` is known. */
  crcFrom(start: number, before: number): number {
    return Bun.hash.crc32(this.#memory.subarray(Math.max(STAMP_BYTES, start)), before);
  }

  /** Stamps the picture in the buffer, over the whole buffer. `crc` is the CRC-32 of the bytes after the stamp, where it is known. */
  write(sequence: number, crc = this.#crc()): void {
    this.#stamp.magic = STAMP_MAGIC;
    this.#stamp.reserved = 0;
    this.#stamp.sequence = sequence;
    this.#stamp.picture_crc = crc;
    this.#stamp.reserved2 = 0;
    this.#stamp.stamp_crc = Bun.hash.crc32(this.#head);
  }

  /** The number of the picture in the first `length` bytes, or what is wrong with it. */
  read(length = this.#memory.length): number | "all zero" | "not stamped" | "torn" {
    if (length <= STAMP_BYTES || length > this.#memory.length) return "not stamped";
    if (this.#stamp.magic !== STAMP_MAGIC) return this.#isZero(length) ? "all zero" : "not stamped";
    if (this.#stamp.stamp_crc !== Bun.hash.crc32(this.#head)) return "torn";
    this.#reach(length);
    return this.#stamp.picture_crc === Bun.hash.crc32(this.#body) ? this.#stamp.sequence : "torn";
  }

  #crc(): number {
    this.#reach(this.#memory.length);
    return Bun.hash.crc32(this.#body);
  }

  /** Sets the end of the body. Makes a new view only when the length changes. */
  #reach(length: number): void {
    if (this.#body.length === length - STAMP_BYTES) return;
    this.#body = this.#memory.subarray(STAMP_BYTES, length);
  }

  #isZero(length: number): boolean {
    for (let i = 0; i < length; i++) if (this.#memory[i] !== 0) return false;
    return true;
  }
}

/** Checks the stamps of a stream. */
export class StampChecker {
  #last = -1;
  #seen = 0;
  #lastRight = false;
  /** First stamp minus first sequence: a stream that was joined in the middle may count its frames from 0. */
  #offset = 0;

  /** Number of right pictures. */
  get verified(): number {
    return this.#seen;
  }

  /** The picture that was checked last does not count as right: its memory changed meanwhile. */
  revoke(): void {
    if (this.#lastRight) this.#seen -= 1;
    this.#lastRight = false;
  }

  /** Call at the start of a stream: its numbers may begin at 0. */
  restart(): void {
    this.#last = -1;
  }

  /** Checks a picture against its stamp and the frame's sequence; the first one counts as the start. Answers what is wrong, or undefined. */
  check(buffer: StampedBuffer, length: number, sequence: number): string | undefined {
    this.#lastRight = false;
    const read = buffer.read(length);
    if (typeof read === "string") return read === "not stamped" ? "wrong: no stamp" : read;
    if (read === this.#last) return `frozen: stamped ${read} once more`;
    if (this.#last < 0) this.#offset = read - sequence;
    if (read - sequence !== this.#offset) return `wrong: stamped ${read}`;
    if (read <= this.#last) return `frozen: stamped ${read} after ${this.#last}`;
    this.#last = read;
    this.#seen += 1;
    this.#lastRight = true;
    return undefined;
  }
}
