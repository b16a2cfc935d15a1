// A parser of libavcodec (avcodec.h, "AVCodecParserContext"): finds the units in a bitstream that comes in any pieces.
import type { AvDecoder } from "./av-decoder.ts";
import type { AvFunctions, AvLibrary } from "./libavcodec.ts";
import { viewOf } from "./libc.ts";
import { CallError } from "./library.ts";
import { i32, n64, struct } from "./struct.ts";

/** Zero bytes that must follow the input: AV_INPUT_BUFFER_PADDING_SIZE. */
export const INPUT_PADDING = 64;

const NO_PTS = -(2 ** 63);

const out = struct("uint8_t *, int", 16, { data: n64(0), size: i32(8) });
const parserContext = struct("AVCodecParserContext", 56, { pts: n64(48) });

/** Finds units: access units of H.264 and HEVC, pictures of MPEG. */
export class AvParser implements Disposable {
  /** The unit that the last call of `parse` found: address, bytes (0: none). It is valid until the next call. */
  readonly unit = out.alloc();
  readonly #unitAt = this.unit.$address;
  readonly #av: AvFunctions;
  readonly #codec: string;
  readonly #id: number;
  readonly #decoder: AvDecoder;
  #parser = 0;
  #context = parserContext.alloc();

  /** Opens the parser of a codec ("h264") for the bitstream of `decoder`. Throws CallError. */
  constructor(library: AvLibrary, codec: string, decoder: AvDecoder) {
    this.#av = library.functions;
    this.#codec = codec;
    this.#id = library.decoder(codec).id;
    this.#decoder = decoder;
    this.reset();
  }

  /**
   * Reads on from `from`, which `INPUT_PADDING` zero bytes follow. Answers how many bytes it has read; `unit` is what it
   * found. `length` 0: the bitstream has ended, and the last unit is answered.
   */
  parse(from: number, length: number, key: number): number {
    if (this.#parser === 0) throw new Error("the parser is disposed");
    return this.#av.av_parser_parse2(
      this.#parser,
      this.#decoder.context,
      this.#unitAt,
      this.#unitAt + 8,
      from,
      length,
      key,
      NO_PTS,
      0,
    );
  }

  /** The key of the piece in which `unit` begins; NO_KEY when an earlier unit had that key already. */
  get key(): number {
    return this.#context.pts;
  }

  /** Forgets what it has read. */
  reset(): void {
    this.#close();
    this.#parser = this.#av.av_parser_init(this.#id);
    if (this.#parser === 0) throw new CallError("av_parser_init", this.#codec, "no such parser");
    this.#context = parserContext.over(viewOf(this.#parser, parserContext.size));
  }

  #close(): void {
    if (this.#parser === 0) return;
    this.#context.$bytes.buffer.transfer(0); // a stale view reads as empty
    this.#av.av_parser_close(this.#parser);
    this.#parser = 0;
  }

  [Symbol.dispose](): void {
    this.#close();
  }
}
