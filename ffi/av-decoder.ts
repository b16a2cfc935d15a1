// One decoder of libavcodec: whole units in, pictures out (avcodec.h, "send/receive encoding and decoding API overview").
// The library allocates all of its structs. The views here cover the members whose offsets never moved.
import { avFrame } from "./av-frame.ts";
import { copyMemory } from "./copy.ts";
import { type AvFunctions, type AvLibrary, allocated, freeBy } from "./libavcodec.ts";
import { addressOf, cString, viewOf } from "./libc.ts";
import { CallError } from "./library.ts";
import type { PictureMemory } from "./picture-memory.ts";
import { i32, n64, struct } from "./struct.ts";

/** Answers of `send` and `receive` that are no failures: AVERROR(EAGAIN) and AVERROR_EOF (error.h). */
export const AVERROR_EAGAIN = -11;
export const AVERROR_EOF = -541_478_725;

/** AV_NOPTS_VALUE, the least i64, as a member of type n64 shows it. */
export const NO_KEY = 2 ** 63;

const MAX_UNIT = 0x7fff_ffff - 64; // av_new_packet adds AV_INPUT_BUFFER_PADDING_SIZE

/** The library compares its limit with a width rounded up to a multiple of 64. */
const PIXELS_OF_ALIGNMENT = 63 * 16_384;

export interface DecoderLimits {
  readonly threads: number;
  /** No memory is allocated for pictures that are larger by more than the library's alignment. */
  readonly maxPixels: number;
  /** Where pictures are put, if the decoder has one thread. */
  readonly memory?: PictureMemory | undefined;
}

const packet = struct("AVPacket", 48, { pts: n64(8), data: n64(24), size: i32(32) });
/** A decoder with its packet and its picture. */
export class AvDecoder implements Disposable {
  /** The picture that `receive` answered 0 for, until `release`. `pts` is the key of its unit. */
  readonly picture;
  /** Address of the AVFrame: `data` is at 0, `linesize` at 64. */
  readonly pictureAt: number;
  readonly #av: AvFunctions;
  readonly #packet;
  readonly #packetAt: number;
  readonly #codec: string;
  readonly #decoder: number;
  readonly #limits: DecoderLimits;
  #context = 0;

  /** Opens the decoder of a codec ("h264"). Throws CallError. */
  constructor(library: AvLibrary, codec: string, limits: DecoderLimits) {
    using undo = new DisposableStack();
    const av = library.functions;
    this.#av = av;
    this.#codec = codec;
    this.#decoder = library.decoder(codec).decoder;
    this.#limits = limits;
    this.#packetAt = allocated(av.av_packet_alloc(), "av_packet_alloc");
    undo.defer(() => freeBy(av.av_packet_free, this.#packetAt));
    this.pictureAt = allocated(av.av_frame_alloc(), "av_frame_alloc");
    undo.defer(() => freeBy(av.av_frame_free, this.pictureAt));
    this.#context = this.#newContext();
    this.#packet = packet.over(viewOf(this.#packetAt, packet.size));
    this.picture = avFrame.over(viewOf(this.pictureAt, avFrame.size));
    undo.move();
  }

  #newContext(): number {
    using undo = new DisposableStack();
    const av = this.#av;
    const context = allocated(av.avcodec_alloc_context3(this.#decoder), "avcodec_alloc_context3");
    undo.defer(() => freeBy(av.avcodec_free_context, context));
    this.#set(context, "threads", this.#limits.threads);
    this.#set(context, "max_pixels", this.#limits.maxPixels + PIXELS_OF_ALIGNMENT);
    if (this.#limits.threads === 1) this.#limits.memory?.use(context);
    const r = av.avcodec_open2(context, this.#decoder, 0);
    if (r < 0) throw new CallError("avcodec_open2", this.#codec, `error ${r}`);
    undo.move();
    return context;
  }

  #set(context: number, option: string, value: number): void {
    const [name, text] = [cString(option), cString(String(value))];
    const r = this.#av.av_opt_set(context, addressOf(name), addressOf(text), 0);
    if (r < 0) throw new CallError("av_opt_set", `${option}=${value}`, `error ${r}`);
  }

  /** Forgets everything, headers and states that `flush` keeps included. Throws CallError. */
  reopen(): void {
    const before = this.#open();
    this.release();
    this.#context = this.#newContext();
    freeBy(this.#av.avcodec_free_context, before);
  }

  #open(): number {
    if (this.#context === 0) throw new Error("the decoder is disposed");
    return this.#context;
  }

  /**
   * Copies a unit and gives it to the decoder. Answers 0, or a negative AVERROR: the unit cannot be decoded. Allowed after
   * `receive` answered AVERROR_EAGAIN.
   */
  send(from: number, length: number, key: number): number {
    const context = this.#open();
    if (!(length >= 1 && length <= MAX_UNIT)) throw new RangeError(`a unit of ${length} bytes`);
    const r = this.#av.av_new_packet(this.#packetAt, length);
    if (r < 0) return r;
    this.#packet.pts = key;
    copyMemory(this.#packet.data, from, length);
    const sent = this.#av.avcodec_send_packet(context, this.#packetAt);
    this.#av.av_packet_unref(this.#packetAt);
    return sent;
  }

  /** Tells the decoder that no more units come: `receive` answers the last pictures, then AVERROR_EOF. */
  end(): number {
    return this.#av.avcodec_send_packet(this.#open(), 0);
  }

  /**
   * Takes the next picture into `picture` and answers 0. AVERROR_EAGAIN: it needs a unit. AVERROR_EOF: that was all. Another
   * negative AVERROR: a unit could not be decoded.
   */
  receive(): number {
    return this.#av.avcodec_receive_frame(this.#open(), this.pictureAt);
  }

  /** The library's memory of the picture may be used again. */
  release(): void {
    this.#av.av_frame_unref(this.pictureAt);
  }

  /** Forgets all units and pictures. Needed after AVERROR_EOF, too. */
  flush(): void {
    this.#av.avcodec_flush_buffers(this.#open());
  }

  [Symbol.dispose](): void {
    if (this.#context === 0) return;
    const av = this.#av;
    this.#packet.$bytes.buffer.transfer(0); // a stale view reads as empty
    this.picture.$bytes.buffer.transfer(0);
    freeBy(av.av_packet_free, this.#packetAt);
    freeBy(av.av_frame_free, this.pictureAt);
    freeBy(av.avcodec_free_context, this.#context);
    this.#context = 0;
  }
}
