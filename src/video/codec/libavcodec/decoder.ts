// Decodes a bitstream with libavcodec: bytes in any pieces go in, pictures are written where the sink says. It knows neither
// processes nor guests.
import { AVERROR_EAGAIN, AVERROR_EOF, AvDecoder } from "../../../../ffi/av-decoder.ts";
import type { AvFrame } from "../../../../ffi/av-frame.ts";
import type { AvLibrary } from "../../../../ffi/libavcodec.ts";
import { CallError } from "../../../../ffi/library.ts";
import type { PictureMemory } from "../../../../ffi/picture-memory.ts";
import {
  type PicturePlaces,
  type PictureWriter,
  pictureWriter,
} from "../../../../ffi/picture-writer.ts";
import type { SoftwareCodec } from "./codecs.ts";
import { type PictureLayout, pictureLayout, picturePlaces } from "./picture-layout.ts";
import { UnitReader } from "./unit-reader.ts";

/** Where pictures go. `place`, `takes` and `picture` are called in turn. */
export interface PictureSink {
  /** The size of pictures, or the pixel format that the decoder delivers, is not that of the picture before. */
  changed(width: number, height: number): void;
  /** Where the next picture goes: the address of `bytes` + `SPARE_BYTES` (picture-writer.ts) bytes. 0: there is no place now. */
  place(bytes: number): number;
  /** Whether the sink takes the picture from where the decoder has put it. Then it is not written. */
  takes?(picture: AvFrame, places: PicturePlaces): boolean;
  /** The picture was written there, or taken. `key` is that of the bytes in which it begins. */
  picture(key: number): void;
  /** A unit could not be decoded, or a picture could not be written. `error` is a negative AVERROR. */
  failed(key: number, error: number): void;
  /** Called after each call of the library that can take long. */
  progress(): void;
}

export interface DecoderOptions {
  readonly threads: number;
  /** Larger pictures are refused. */
  readonly maxPixels: number;
  /** What pictures are written as, at first: NV12, YUV420 or YVU420 of virtio-video. */
  readonly output: number;
  /** Where a decoder with one thread puts its pictures. */
  readonly memory?: PictureMemory | undefined;
}

/** Errors in sequence after which a decoder is taken to have no more pictures. */
const MAX_ERRORS = 100;
/**
 * Units in sequence that fail before the decoder is opened again. Damaged headers can make it fail for ever: that of MPEG-4 takes
 * no other stream after one of the studio profile. What it loses are headers, with which nothing was decoded.
 */
const MOST_FAILURES = 8;
/** AVERROR(EINVAL): a picture that is larger than allowed. */
const EINVAL = -22;

export class Decoder implements Disposable {
  readonly #library: AvLibrary;
  readonly #decoder: AvDecoder;
  readonly #units: UnitReader;
  /** Whether key frames have all that the codec needs, so that nothing is lost when the decoder is opened again. */
  readonly #headless: boolean;
  readonly #sink: PictureSink;
  readonly #maxPixels: number;
  readonly #ties: DisposableStack;
  #output: number;
  /** The key of the last unit. */
  #unitKey = 0;
  /** How far a drain is: the last unit and the end are to be sent, or the last pictures to be received. */
  #draining: "no" | "end" | "pictures" = "no";
  /** Units that failed since the last picture. */
  #failures = 0;
  /** The decoder has a picture that waits for a place. */
  #waiting = false;
  #layout: PictureLayout | undefined;
  #places: PicturePlaces | undefined;
  #writer: PictureWriter | undefined;
  #format = -1;
  #width = 0;
  #height = 0;

  /** Throws CallError when the library lacks the codec. */
  constructor(
    library: AvLibrary,
    codec: Pick<SoftwareCodec, "name" | "parsed">,
    options: DecoderOptions,
    sink: PictureSink,
  ) {
    using owned = new DisposableStack();
    this.#library = library;
    this.#decoder = owned.use(new AvDecoder(library, codec.name, options));
    this.#units = owned.use(new UnitReader(library, codec));
    this.#headless = !codec.parsed;
    this.#maxPixels = options.maxPixels;
    this.#output = options.output;
    this.#sink = sink;
    owned.defer(() => this.#forgetWriter());
    this.#ties = owned.move();
  }

  /** Whether `run` has nothing to do. Only then `take` and `drain` are allowed. */
  get idle(): boolean {
    return this.#units.empty && this.#draining === "no" && !this.#waiting;
  }

  /** Copies bytes of the bitstream; `run` decodes them. A `key` is 0 to 2^53 - 1, and larger than those before. */
  take(from: number, length: number, key: number): void {
    if (!this.idle) throw new Error("the decoder is not idle");
    this.#units.take(from, length, key);
  }

  /** The bitstream ends here: `run` writes the pictures that the decoder holds back. Then a new bitstream may follow. */
  drain(): void {
    if (!this.idle) throw new Error("the decoder is not idle");
    this.#units.end();
    this.#draining = "end";
  }

  /** Decodes until there is nothing to do (true) or no place for a picture (false: call it again when there is one). */
  run(): boolean {
    for (;;) {
      if (!this.#deliver()) return false;
      if (!this.#feed()) return true;
    }
  }

  /** Writes all pictures that the decoder has. False: there is no place for the next one. */
  #deliver(): boolean {
    for (;;) {
      if (!this.#waiting) {
        if (!this.#receive()) return true;
        this.#waiting = true;
      }
      if (!this.#write()) return false;
      this.#waiting = false;
      this.#decoder.release();
    }
  }

  /** Takes a picture from the decoder. False: it has none. */
  #receive(): boolean {
    for (let errors = 0; errors < MAX_ERRORS; errors++) {
      const r = this.#decoder.receive();
      this.#sink.progress();
      if (r >= 0) {
        this.#failures = 0;
        return true;
      }
      if (r === AVERROR_EAGAIN) return false;
      if (r === AVERROR_EOF) break;
      this.#damaged(this.#unitKey, r);
    }
    if (this.#draining === "pictures") this.#drained();
    return false;
  }

  /** Writes the picture, or drops one that is too large. False: there is no place. */
  #write(): boolean {
    const { width, height, format, pts } = this.#decoder.picture;
    if (width < 1 || height < 1 || width * height > this.#maxPixels) {
      this.#sink.failed(pts, EINVAL);
      return true;
    }
    if (width !== this.#width || height !== this.#height || format !== this.#format)
      this.#change(width, height, format);
    const layout = this.#prepare(width, height);
    if (layout === undefined) {
      this.#sink.failed(pts, EINVAL);
      return true;
    }
    const to = this.#sink.place(layout.bytes);
    if (to === 0) return false;
    if (!this.#isTaken()) this.#writer?.write(to);
    this.#sink.picture(pts);
    return true;
  }

  #isTaken(): boolean {
    const places = this.#places;
    return places !== undefined && this.#sink.takes?.(this.#decoder.picture, places) === true;
  }

  #change(width: number, height: number, format: number): void {
    this.#width = width;
    this.#height = height;
    this.#format = format;
    this.#forgetWriter();
    this.#sink.changed(width, height);
  }

  /** Makes the writer for such pictures. Undefined: the library cannot convert them. */
  #prepare(width: number, height: number): PictureLayout | undefined {
    if (this.#writer !== undefined) return this.#layout;
    this.#layout = pictureLayout(this.#output, width, height);
    this.#places = picturePlaces(this.#output, this.#layout);
    try {
      this.#writer = pictureWriter(this.#library, this.#decoder, this.#places);
    } catch (error) {
      if (error instanceof CallError) return undefined;
      throw error;
    }
    return this.#layout;
  }

  #forgetWriter(): void {
    this.#writer?.[Symbol.dispose]();
    this.#writer = undefined;
    this.#layout = undefined;
    this.#places = undefined;
  }

  /** Gives the next unit to the decoder, or the end. False: there is nothing to give. */
  #feed(): boolean {
    if (this.#units.next()) this.#send(this.#units);
    else if (this.#draining === "end") this.#feedEnd();
    else return false;
    return true;
  }

  #feedEnd(): void {
    this.#draining = "pictures";
    if (this.#decoder.end() < 0) this.#drained();
  }

  #send({ at, length, key }: UnitReader): void {
    this.#unitKey = key;
    const r = this.#decoder.send(at, length, key);
    this.#sink.progress();
    if (r < 0) this.#damaged(key, r);
  }

  #damaged(key: number, error: number): void {
    this.#sink.failed(key, error);
    this.#failures += 1;
    // After a size that it refuses, the decoder of VP9 fails for ever.
    const refused = error === EINVAL && this.#headless;
    if (refused || this.#failures === MOST_FAILURES) this.#reopen();
  }

  #reopen(): void {
    this.#failures = 0;
    this.#decoder.reopen();
    if (this.#draining === "pictures") this.#draining = "no"; // a decoder that was opened has none
  }

  #drained(): void {
    this.#decoder.flush();
    this.#draining = "no";
  }

  /** Drops everything taken and decoded. The next picture is the next key frame. */
  flush(): void {
    if (this.#waiting) this.#decoder.release();
    this.#waiting = false;
    this.#decoder.flush();
    this.#units.reset();
    this.#draining = "no";
    this.#format = -1; // the next picture is announced again
  }

  /** From now on pictures are written like this. */
  setOutput(output: number): void {
    this.#output = output;
    this.#forgetWriter();
  }

  [Symbol.dispose](): void {
    this.#ties.dispose();
  }
}
