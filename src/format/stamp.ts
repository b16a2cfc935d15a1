// The stamp in every picture of the built-in source: 32 bytes at its very beginning, big endian. It numbers the
// picture and carries a CRC-32 (the one of zlib and PNG) of all that follows, so that whoever has the bytes can
// tell a wrong, torn, frozen or blank picture without knowing what was painted. docs/stamp.md
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

/** The stamp of one buffer, with its views made once. */
export class StampedBuffer {
  readonly #stamp: Struct<typeof stamp.fields>;
  readonly #head: Uint8Array<ArrayBuffer>;
  readonly #memory: Uint8Array<ArrayBuffer>;
  #body: Uint8Array<ArrayBuffer>;

  /** Over a buffer of at least STAMP_BYTES + 1 bytes. Throws RangeError below. */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    if (bytes.length <= STAMP_BYTES)
      throw new RangeError(`no room for a stamp in ${bytes.length} bytes`);
    this.#memory = bytes;
    this.#stamp = stamp.over(bytes);
    this.#head = bytes.subarray(0, STAMP_BYTES - 4);
    this.#body = bytes.subarray(STAMP_BYTES);
  }

  /** Stamps the picture that is in the buffer now, all of it. */
  write(sequence: number): void {
    this.#reach(this.#memory.length);
    this.#stamp.magic = STAMP_MAGIC;
    this.#stamp.reserved = 0;
    this.#stamp.sequence = sequence;
    this.#stamp.picture_crc = Bun.hash.crc32(this.#body);
    this.#stamp.reserved2 = 0;
    this.#stamp.stamp_crc = Bun.hash.crc32(this.#head);
  }

  /** The picture's number, or what is wrong with the first `length` bytes of the buffer. */
  read(length = this.#memory.length): number | "all zero" | "not stamped" | "torn" {
    if (length <= STAMP_BYTES || length > this.#memory.length) return "not stamped";
    if (this.#stamp.magic !== STAMP_MAGIC) return this.#isZero(length) ? "all zero" : "not stamped";
    if (this.#stamp.stamp_crc !== Bun.hash.crc32(this.#head)) return "torn";
    this.#reach(length);
    return this.#stamp.picture_crc === Bun.hash.crc32(this.#body) ? this.#stamp.sequence : "torn";
  }

  /** The body goes up to `length` from now on; its view is kept while that stays the same. */
  #reach(length: number): void {
    if (this.#body.length === length - STAMP_BYTES) return;
    this.#body = this.#memory.subarray(STAMP_BYTES, length);
  }

  #isZero(length: number): boolean {
    for (let i = 0; i < length; i++) if (this.#memory[i] !== 0) return false;
    return true;
  }
}

/** Watches the stamps of a stream: what is wrong with a picture, in words, or undefined when it is right. */
export class StampChecker {
  #last = -1;
  #seen = 0;

  /** Pictures that were right. */
  get verified(): number {
    return this.#seen;
  }

  /** A new stream starts: numbers may start again. */
  restart(): void {
    this.#last = -1;
  }

  /** Checks one picture against its own stamp and the number the sender gave it. */
  check(buffer: StampedBuffer, length: number, sequence: number): string | undefined {
    const read = buffer.read(length);
    if (typeof read === "string") return read === "not stamped" ? "wrong: no stamp" : read;
    if (read === this.#last) return `frozen: stamped ${read} once more`;
    if (read !== sequence) return `wrong: stamped ${read}`;
    if (read <= this.#last) return `frozen: stamped ${read} after ${this.#last}`;
    this.#last = read;
    this.#seen += 1;
    return undefined;
  }
}
