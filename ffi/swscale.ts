// Scales pictures and converts their formats with libswscale of FFmpeg (swscale.h), loaded on first use. Pixel formats
// are found by name, because their numbers are not part of the library's interface.
import { FFIType } from "bun:ffi";
import { addressOf, cString } from "./libc.ts";
import {
  CallError,
  type Functions,
  openFirst,
  openLibrary,
  textAt,
  versionText,
} from "./library.ts";
import { i32, n64, struct } from "./struct.ts";

/** Newest first: FFmpeg 9, 8, 7, 6, 5 and 4. The functions used here are the same in all of them. */
export const SWSCALE_SONAMES: readonly string[] = [10, 9, 8, 7, 6, 5].map(
  (n) => `libswscale.so.${n}`,
);
/** What to install where none of them is found. */
export const SWSCALE_PACKAGES = "libswscale6 (Debian 12) or libswscale8 (Debian 13)";

const SWS_BILINEAR = 2;
const AV_LOG_QUIET = -8;
/** What `brightness`, `contrast` and `saturation` are without a change, 16.16 fixed point. */
export const UNCHANGED = { brightness: 0, contrast: 1 << 16, saturation: 1 << 16 };
const LIMITED_RANGE = 0;
/** The matrix that format/colour.ts has. */
export const SWS_CS_ITU601 = 5;

const int = FFIType.i32;
const at = FFIType.u64_fast;
const address = FFIType.i64_fast;
const signatures = {
  sws_getContext: { args: [int, int, int, int, int, int, int, at, at, at], returns: address },
  sws_freeContext: { args: [at], returns: FFIType.void },
  sws_scale: { args: [at, at, at, int, int, at, at], returns: int },
  sws_getCoefficients: { args: [int], returns: address },
  sws_setColorspaceDetails: { args: [at, at, int, at, int, int, int, int], returns: int },
  swscale_version: { args: [], returns: FFIType.u32 },
  swscale_license: { args: [], returns: address },
  // Of libavutil, which libswscale loads.
  av_version_info: { args: [], returns: address },
  av_get_pix_fmt: { args: [at], returns: int },
  av_log_set_level: { args: [int], returns: FFIType.void },
} as const;

export type SwsFunctions = Functions<typeof signatures>;

let loaded: { readonly soname: string; readonly functions: SwsFunctions } | undefined;

/** Loads the newest version that is installed and works. Throws LibraryError when there is none. */
export const loadSwscale = (): SwsFunctions => loadNewest().functions;

function loadNewest() {
  loaded ??= openFirst("libswscale", SWSCALE_SONAMES, (soname) => {
    const functions = openLibrary(soname, signatures);
    functions.av_log_set_level(AV_LOG_QUIET); // what it logs would go to our stderr
    return { soname, functions };
  });
  return loaded;
}

/** The library that is loaded: FFmpeg's version and its own, and the licence of this build. Throws LibraryError. */
export function swscaleVersion(): {
  readonly soname: string;
  readonly version: string;
  readonly licence: string;
} {
  const { soname, functions } = loadNewest();
  const ffmpeg = textAt(functions.av_version_info());
  const version = `${ffmpeg}, libswscale ${versionText(functions.swscale_version())}`;
  return { soname, version, licence: textAt(functions.swscale_license()) };
}

/** One side of a conversion. */
export interface ScalerSide {
  readonly width: number;
  readonly height: number;
  /** FFmpeg's name of the pixel format. */
  readonly format: string;
  /** Where the planes are, in FFmpeg's order, and the bytes of a row in each. The memory has 64 spare bytes at its end. */
  readonly planes: readonly { readonly address: number; readonly stride: number }[];
  /** Holds that memory. The scaler keeps it, because addresses alone do not: the runtime would free it. */
  readonly memory: object;
}

export const pointers = struct("uint8_t *[4]", 32, {
  a: n64(0),
  b: n64(8),
  c: n64(16),
  d: n64(24),
});
export const strides = struct("int[4]", 16, { a: i32(0), b: i32(4), c: i32(8), d: i32(12) });

/** Converts pictures from one place in memory to another. */
export class Scaler implements Disposable {
  readonly #sws = loadSwscale();
  readonly #from;
  readonly #to;
  #context: number;

  /** Throws LibraryError, or CallError for a conversion that the library lacks. */
  constructor(from: ScalerSide, to: ScalerSide) {
    const sws = this.#sws;
    this.#from = new PlaneArrays(from);
    this.#to = new PlaneArrays(to);
    const what = `${sideText(from)} to ${sideText(to)}`;
    this.#context = sws.sws_getContext(
      from.width,
      from.height,
      numberOf(sws, from.format),
      to.width,
      to.height,
      numberOf(sws, to.format),
      SWS_BILINEAR,
      0,
      0,
      0,
    );
    if (this.#context === 0) throw new CallError("sws_getContext", what, "no such conversion");
    const matrix = sws.sws_getCoefficients(SWS_CS_ITU601);
    // It fails where neither side has luma and chroma; then there is nothing to set.
    sws.sws_setColorspaceDetails(
      this.#context,
      matrix,
      LIMITED_RANGE,
      matrix,
      LIMITED_RANGE,
      UNCHANGED.brightness,
      UNCHANGED.contrast,
      UNCHANGED.saturation,
    );
  }

  /** Converts the picture that is there now. Throws CallError. */
  run(): void {
    if (this.#context === 0) throw new Error("the scaler is disposed");
    const { height, pointersAt, stridesAt } = this.#from;
    const to = this.#to;
    const rows = this.#sws.sws_scale(
      this.#context,
      pointersAt,
      stridesAt,
      0,
      height,
      to.pointersAt,
      to.stridesAt,
    );
    if (rows !== to.height)
      throw new CallError("sws_scale", "", `made ${rows} of ${to.height} rows`);
  }

  [Symbol.dispose](): void {
    if (this.#context === 0) return;
    this.#sws.sws_freeContext(this.#context);
    this.#context = 0;
  }
}

/** The arrays that the library reads, in memory that stays. */
class PlaneArrays {
  readonly height: number;
  readonly pointersAt: number;
  readonly stridesAt: number;
  /** Kept for as long as its addresses are used. */
  readonly memory: object;
  readonly #pointers = pointers.alloc();
  readonly #strides = strides.alloc();

  constructor({ height, planes, memory }: ScalerSide) {
    this.height = height;
    this.memory = memory;
    for (const [i, key] of (["a", "b", "c", "d"] as const).entries()) {
      this.#pointers[key] = planes[i]?.address ?? 0;
      this.#strides[key] = planes[i]?.stride ?? 0;
    }
    this.pointersAt = this.#pointers.$address;
    this.stridesAt = this.#strides.$address;
  }
}

const sideText = ({ width, height, format }: ScalerSide) => `${width}x${height} ${format}`;

/** The number of a pixel format in this version. Throws CallError for an unknown name. */
export function numberOf(sws: SwsFunctions, format: string): number {
  const name = cString(format);
  const number = sws.av_get_pix_fmt(addressOf(name));
  if (number < 0) throw new CallError("av_get_pix_fmt", format, "no such pixel format");
  return number;
}
