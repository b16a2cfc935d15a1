// Finds the units that a decoder takes in the buffers of the guest.

import { NO_KEY } from "../../../../ffi/av-decoder.ts";
import { AvParser, INPUT_PADDING } from "../../../../ffi/av-parser.ts";
import { copyMemory } from "../../../../ffi/copy.ts";
import type { AvLibrary } from "../../../../ffi/libavcodec.ts";
import { addressOf } from "../../../../ffi/libc.ts";
import { BufferEnds } from "./buffer-ends.ts";
import type { SoftwareCodec } from "./codecs.ts";

export class UnitReader implements Disposable {
  /** The unit that `next` has found, until the next call: address, bytes, the key of the buffer in which it begins. */
  at = 0;
  length = 0;
  key = 0;
  /** Undefined for codecs of which each buffer has one unit. */
  readonly #parser: AvParser | undefined;
  readonly #ends: BufferEnds;
  /** The buffer taken last, with padding. */
  #input = new Uint8Array(new ArrayBuffer(1 << 16));
  #inputAt = addressOf(this.#input);
  #inputLength = 0;
  #inputKey = 0;
  #read = 0;
  #ending = false;
  /** The parser was flushed, so it cannot parse more before it is reset. Until then `unit` is in its memory. */
  #flushed = false;

  /** Throws CallError. */
  constructor(library: AvLibrary, { name, parsed }: Pick<SoftwareCodec, "name" | "parsed">) {
    this.#parser = parsed ? new AvParser(library, name) : undefined;
    this.#ends = new BufferEnds(name);
  }

  /** Whether the buffer that was taken has been read to its end. */
  get empty(): boolean {
    return this.#read === this.#inputLength && !this.#ending;
  }

  /** Copies a buffer. Allowed when it is empty. */
  take(from: number, length: number, key: number): void {
    const needed = length + INPUT_PADDING;
    if (needed > this.#input.length) {
      this.#input = new Uint8Array(new ArrayBuffer(2 ** Math.ceil(Math.log2(needed))));
      this.#inputAt = addressOf(this.#input);
    }
    copyMemory(this.#inputAt, from, length);
    this.#input.fill(0, length, needed);
    this.#read = 0;
    this.#inputLength = length;
    this.#inputKey = key;
    if (this.#parser !== undefined) this.#ends.buffer(length, this.#input);
  }

  /** The bitstream ends here. */
  end(): void {
    this.#ending = true;
  }

  /** Finds the next unit. False: there is none, or its end is not known yet. */
  next(): boolean {
    const parser = this.#parser;
    if (this.#flushed) parser?.reset();
    this.#flushed = false;
    while (this.#read < this.#inputLength) {
      if (parser === undefined) return this.#whole();
      const left = this.#inputLength - this.#read;
      const taken = parser.parse(this.#inputAt + this.#read, left, this.#inputKey);
      this.#read += taken; // 0 when the unit has ended in the buffer before
      if (parser.unit.size > 0) return this.#found(parser);
      if (taken <= 0) this.#read = this.#inputLength; // never seen; without this the loop would not end
    }
    const { believed, held } = this.#ends;
    if (parser !== undefined && (this.#ending || (believed && held))) return this.#last(parser);
    this.#ending = false;
    return false;
  }

  /** The buffer is the unit. */
  #whole(): boolean {
    this.#read = this.#inputLength;
    this.at = this.#inputAt;
    this.length = this.#inputLength;
    this.key = this.#inputKey;
    return true;
  }

  /** The unit that the parser holds, because it has not seen its end. */
  #last(parser: AvParser): boolean {
    parser.parse(this.#inputAt, 0, this.#inputKey);
    this.#flushed = true;
    const found = parser.unit.size > 0 && this.#found(parser);
    if (this.#ending) this.#ends.reset();
    else this.#ends.flushed();
    this.#ending = false;
    return found;
  }

  #found({ unit, key }: AvParser): boolean {
    this.at = unit.data;
    this.length = unit.size;
    // A buffer that has several units gives its key to the first of them.
    if (key !== NO_KEY) this.key = key;
    this.#ends.unit(unit.size);
    return true;
  }

  /** Forgets what it has taken. */
  reset(): void {
    this.#read = this.#inputLength;
    this.#ending = false;
    this.#flushed = false;
    this.#parser?.reset();
    this.#ends.reset();
  }

  [Symbol.dispose](): void {
    this.#parser?.[Symbol.dispose]();
  }
}
