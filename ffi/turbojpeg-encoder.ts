// Encodes JPEG with the TurboJPEG interface of libjpeg-turbo (turbojpeg.h, 2.0 and later), loaded on first use.
import { FFIType } from "bun:ffi";
import { addressOf } from "./libc.ts";
import { CallError, type Functions, openLibrary, textAt } from "./library.ts";
import { n64, struct } from "./struct.ts";
import { TURBOJPEG_SONAME } from "./turbojpeg.ts";

const TJPF_BGRX = 3; // same bytes as XR24
const TJSAMP_420 = 2;
const TJFLAG_NOREALLOC = 1024;
const TJFLAG_FASTDCT = 2048;

const int = FFIType.i32;
const at = FFIType.u64_fast;
const signatures = {
  tjInitCompress: { args: [], returns: FFIType.i64_fast },
  tjDestroy: { args: [at], returns: int },
  tjBufSize: { args: [int, int, int], returns: FFIType.i64_fast },
  tjCompress2: { args: [at, at, int, int, int, int, at, at, int, int, int], returns: int },
  tjGetErrorStr2: { args: [at], returns: FFIType.i64_fast },
} as const;

let loaded: Functions<typeof signatures> | undefined;

const output = struct("unsigned char *, unsigned long", 16, { at: n64(0), size: n64(8) });

/** Encodes pictures of one size, of rows of B, G, R, unused, as JPEG. */
export class JpegEncoder implements Disposable {
  /** Where the encoded picture is. */
  readonly address: number;
  readonly #tj;
  readonly #width: number;
  readonly #height: number;
  readonly #memory: Uint8Array<ArrayBuffer>;
  readonly #output = output.alloc();
  readonly #outputAt = this.#output.$address;
  #handle: number;

  /** Throws LibraryError if libjpeg-turbo is not installed. */
  constructor(width: number, height: number) {
    loaded ??= openLibrary(TURBOJPEG_SONAME, signatures);
    this.#tj = loaded;
    this.#width = width;
    this.#height = height;
    const most = this.#tj.tjBufSize(width, height, TJSAMP_420);
    if (most <= 0) throw new CallError("tjBufSize", `${width}x${height}`, "no such size");
    this.#memory = new Uint8Array(new ArrayBuffer(most));
    this.address = addressOf(this.#memory);
    this.#handle = this.#tj.tjInitCompress();
    if (this.#handle === 0)
      throw new CallError("tjInitCompress", "", textAt(this.#tj.tjGetErrorStr2(0)));
  }

  /** Encodes the picture at `from`, `pitch` bytes from row to row. Answers the bytes of the JPEG. Throws CallError. */
  encode(from: number, pitch: number, quality = 90): number {
    if (this.#handle === 0) throw new Error("the encoder is disposed");
    this.#output.at = this.address;
    this.#output.size = this.#memory.length;
    const r = this.#tj.tjCompress2(
      this.#handle,
      from,
      this.#width,
      pitch,
      this.#height,
      TJPF_BGRX,
      this.#outputAt,
      this.#outputAt + 8,
      TJSAMP_420,
      quality,
      TJFLAG_NOREALLOC | TJFLAG_FASTDCT,
    );
    if (r !== 0)
      throw new CallError("tjCompress2", "", textAt(this.#tj.tjGetErrorStr2(this.#handle)));
    return this.#output.size;
  }

  [Symbol.dispose](): void {
    if (this.#handle === 0) return;
    this.#tj.tjDestroy(this.#handle);
    this.#handle = 0;
  }
}
