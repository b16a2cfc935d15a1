// A parser of libavcodec (avcodec.h, "AVCodecParserContext"): finds the units in a bitstream that comes in any pieces.
import { type AvFunctions, type AvLibrary, allocated, freeBy } from "./libavcodec.ts";
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
  /** A context of its own: the parser of MPEG-4 sets the size in it, and a decoder would not see that the size has changed. */
  #context: number;
  #parser = 0;
  #state = parserContext.alloc();

  /** Opens the parser of a codec ("h264"). Throws CallError. */
  constructor(library: AvLibrary, codec: string) {
    using undo = new DisposableStack();
    const av = library.functions;
    const { id, decoder } = library.decoder(codec);
    this.#av = av;
    this.#codec = codec;
    this.#id = id;
    this.#context = allocated(av.avcodec_alloc_context3(decoder), "avcodec_alloc_context3");
    undo.defer(() => freeBy(av.avcodec_free_context, this.#context));
    this.reset();
    undo.move();
  }

  /**
   * Reads on from `from`, which `INPUT_PADDING` zero bytes follow. Answers how many bytes it has read; `unit` is what it
   * found. `length` 0: the bitstream has ended, and the last unit is answered.
   */
  parse(from: number, length: number, key: number): number {
    if (this.#parser === 0) throw new Error("the parser is disposed");
    return this.#av.av_parser_parse2(
      this.#parser,
      this.#context,
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
    return this.#state.pts;
  }

  /** Forgets what it has read. */
  reset(): void {
    this.#close();
    this.#parser = this.#av.av_parser_init(this.#id);
    if (this.#parser === 0) throw new CallError("av_parser_init", this.#codec, "no such parser");
    this.#state = parserContext.over(viewOf(this.#parser, parserContext.size));
  }

  #close(): void {
    if (this.#parser === 0) return;
    this.#state.$bytes.buffer.transfer(0); // a stale view reads as empty
    this.#av.av_parser_close(this.#parser);
    this.#parser = 0;
  }

  [Symbol.dispose](): void {
    if (this.#parser === 0) return;
    this.#close();
    freeBy(this.#av.avcodec_free_context, this.#context);
    this.#context = 0;
  }
}
