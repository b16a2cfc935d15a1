// Decodes JPEG with the TurboJPEG interface of libjpeg-turbo (turbojpeg.h, 2.0 and later), loaded on first use.
import { FFIType } from "bun:ffi";
import { copyMemory } from "./copy.ts";
import { addressOf } from "./libc.ts";
import { CallError, type Functions, openLibrary, textAt } from "./library.ts";
import { i32, struct } from "./struct.ts";

export const TURBOJPEG_SONAME = "libturbojpeg.so.0";

const TJPF_BGRX = 3; // same bytes as XR24
const TJFLAG_FASTDCT = 2048;
/** Refuses a progressive picture of more than 500 scans, which would take minutes. Libraries before 2.1 ignore it. */
const TJFLAG_LIMITSCANS = 32_768;
const TJERR_WARNING = 0;
/** Text of the warning JWRN_JPEG_EOF (jerror.h): the data ends without the end marker. */
const NO_END = /^Premature end of JPEG file/;
/** Text of the warning JWRN_HIT_MARKER: a marker where picture data was due. */
const CUT_SHORT = /premature end of data segment/;
/**
 * Texts of the warnings of jerror.h. The library's error code is "warning" for an error as well, once a warning came
 * before it.
 */
const WARNING =
  /^(Corrupt JPEG data|Premature end of JPEG file|Inconsistent progression|Unknown Adobe color|Warning: |Invalid SOS parameters for sequential)/;
/** Memory for a copy grows in these steps, bytes. */
const COPY_STEP = 1 << 16;
const END_OF_IMAGE = [0xff, 0xd9];

const int = FFIType.i32;
const at = FFIType.u64_fast;
const signatures = {
  tjInitDecompress: { args: [], returns: FFIType.i64_fast },
  tjDestroy: { args: [at], returns: int },
  tjDecompressHeader3: { args: [at, at, at, at, at, at, at], returns: int },
  tjDecompress2: { args: [at, at, at, at, int, int, int, int, int], returns: int },
  tjGetErrorCode: { args: [at], returns: int },
  tjGetErrorStr2: { args: [at], returns: FFIType.i64_fast },
} as const;

let loaded: Functions<typeof signatures> | undefined;

const header = struct("int[4]", 16, { width: i32(0), height: i32(4), subsampling: i32(8) });

interface Size {
  readonly width: number;
  readonly height: number;
}

/** Where rows of pixels go: B, G, R, unused, `pitch` bytes from row to row. */
interface Pixels extends Size {
  readonly address: number;
  readonly pitch: number;
}

/**
 * A JPEG decoder. A picture with which the library finds fault but decodes, as it does with those of common cameras (fill
 * bytes before markers, no end marker), is a picture. One that is cut short is not.
 */
export class JpegDecoder implements Disposable {
  readonly #tj;
  #handle: number;
  readonly #header = header.alloc();
  readonly #headerAt = this.#header.$address;
  /** A copy of the picture with an end marker, for cameras that send none. */
  #ended = new Uint8Array(new ArrayBuffer(0));
  #addsEnd = false;
  /** The warning of the last picture; empty without one. */
  #warning = "";

  /** Throws LibraryError if libjpeg-turbo is not installed. */
  constructor() {
    loaded ??= openLibrary(TURBOJPEG_SONAME, signatures);
    this.#tj = loaded;
    this.#handle = this.#init();
  }

  #init(): number {
    const handle = this.#tj.tjInitDecompress();
    if (handle === 0)
      throw new CallError("tjInitDecompress", "", textAt(this.#tj.tjGetErrorStr2(0)));
    return handle;
  }

  /**
   * Decodes `length` bytes at `from`. Answers what is wrong with the picture, or undefined. A wrong picture may be
   * written in part.
   */
  decode(from: number, length: number, to: Pixels): string | undefined {
    if (this.#handle === 0) throw new Error("the decoder is disposed");
    if (this.#addsEnd) return this.#decodeWithEnd(from, length, to);
    const wrong = this.#decode(from, length, to);
    if (wrong !== undefined || !NO_END.test(this.#warning)) return wrong;
    this.#addsEnd = true; // later pictures of this camera will lack it, too
    return this.#decodeWithEnd(from, length, to);
  }

  /** With an end marker added, missing picture data differs from a missing marker. */
  #decodeWithEnd(from: number, length: number, to: Pixels): string | undefined {
    const total = length + END_OF_IMAGE.length;
    if (this.#ended.length < total) {
      const room = Math.ceil(total / COPY_STEP) * COPY_STEP;
      this.#ended = new Uint8Array(new ArrayBuffer(room));
    }
    copyMemory(addressOf(this.#ended), from, length);
    this.#ended.set(END_OF_IMAGE, length);
    const wrong = this.#decode(addressOf(this.#ended), total, to);
    return wrong ?? (CUT_SHORT.test(this.#warning) ? "the picture is cut short" : undefined);
  }

  /** Reads the header of `length` bytes at `from`. Answers why it is not one of a picture of that size, or undefined. */
  differs(from: number, length: number, { width, height }: Size): string | undefined {
    const at = this.#headerAt;
    this.#warning = "";
    this.#header.width = 0;
    const r = this.#tj.tjDecompressHeader3(this.#handle, from, length, at, at + 4, at + 8, at + 12);
    if (r !== 0 && !this.#warned()) return this.#failed();
    if (this.#header.width === width && this.#header.height === height) return undefined;
    return `it is ${this.#header.width}x${this.#header.height}, must be ${width}x${height}`;
  }

  #decode(from: number, length: number, to: Pixels): string | undefined {
    const tj = this.#tj;
    const { width, height } = to;
    // Writes nothing if the size differs from the size of the memory.
    const differs = this.differs(from, length, to);
    if (differs !== undefined) return differs;
    const flags = TJFLAG_FASTDCT | TJFLAG_LIMITSCANS;
    const decoded = tj.tjDecompress2(
      this.#handle,
      from,
      length,
      to.address,
      width,
      to.pitch,
      height,
      TJPF_BGRX,
      flags,
    );
    return decoded === 0 || this.#warned() ? undefined : this.#failed();
  }

  /** Whether the call that failed gave a warning only: the picture was decoded. */
  #warned(): boolean {
    if (this.#tj.tjGetErrorCode(this.#handle) !== TJERR_WARNING) return false;
    const text = textAt(this.#tj.tjGetErrorStr2(this.#handle));
    if (!WARNING.test(text)) return false;
    this.#warning = text;
    return true;
  }

  /** The reason of a failed call. The library leaves its decoder in the middle of that picture, so a new one is made. */
  #failed(): string {
    const reason = textAt(this.#tj.tjGetErrorStr2(this.#handle));
    this.#tj.tjDestroy(this.#handle);
    this.#handle = 0;
    this.#handle = this.#init();
    return reason;
  }

  [Symbol.dispose](): void {
    if (this.#handle === 0) return;
    this.#tj.tjDestroy(this.#handle);
    this.#handle = 0;
  }
}
