// libavcodec of FFmpeg (avcodec.h), loaded on first use: which version it is and which decoders it has. Codecs are found by
// name, because their numbers differ between versions. Only offsets that are the same in libavcodec 58 to 63 are used.
import { FFIType } from "bun:ffi";
import { addressOf, cString, viewOf } from "./libc.ts";
import {
  CallError,
  type Functions,
  LibraryError,
  openFirst,
  openLibrary,
  textAt,
  versionText,
} from "./library.ts";
import { i32, n64, struct } from "./struct.ts";

/** Newest first: FFmpeg 9, 8, 7, 6, 5 and 4. */
export const AVCODEC_SONAMES: readonly string[] = [63, 62, 61, 60, 59, 58].map(
  (n) => `libavcodec.so.${n}`,
);
/** What to install where none of them is found. */
export const AVCODEC_PACKAGES = "libavcodec59 (Debian 12) or libavcodec61 (Debian 13)";

/** Errors in damaged bitstreams would go to our stderr. */
const AV_LOG_QUIET = -8;

const int = FFIType.i32;
const at = FFIType.u64_fast;
const address = FFIType.i64_fast;
const none = FFIType.void;
const signatures = {
  avcodec_version: { args: [], returns: FFIType.u32 },
  avcodec_license: { args: [], returns: address },
  avcodec_descriptor_get_by_name: { args: [at], returns: address },
  avcodec_find_decoder: { args: [int], returns: address },
  avcodec_alloc_context3: { args: [at], returns: address },
  avcodec_free_context: { args: [at], returns: none },
  avcodec_open2: { args: [at, at, at], returns: int },
  avcodec_send_packet: { args: [at, at], returns: int },
  avcodec_receive_frame: { args: [at, at], returns: int },
  avcodec_flush_buffers: { args: [at], returns: none },
  av_packet_alloc: { args: [], returns: address },
  av_packet_free: { args: [at], returns: none },
  av_packet_unref: { args: [at], returns: none },
  av_new_packet: { args: [at, int], returns: int },
  av_parser_init: { args: [int], returns: address },
  av_parser_parse2: {
    args: [at, at, at, at, at, int, address, address, address],
    returns: int,
  },
  av_parser_close: { args: [at], returns: none },
  // Of libavutil, which libavcodec loads.
  av_version_info: { args: [], returns: address },
  av_log_set_level: { args: [int], returns: none },
  av_opt_set: { args: [at, at, at, int], returns: int },
  av_frame_alloc: { args: [], returns: address },
  av_frame_free: { args: [at], returns: none },
  av_frame_unref: { args: [at], returns: none },
  av_get_pix_fmt_name: { args: [int], returns: address },
  av_image_copy_plane: { args: [at, int, at, int, int, int], returns: none },
} as const;

export type AvFunctions = Functions<typeof signatures>;

/** Throws CallError for the address 0. */
export function allocated(at: number, call: string): number {
  if (at === 0) throw new CallError(call, "", "out of memory");
  return at;
}

const pointer = struct("void *", 8, { value: n64(0) });

/** Calls a function that frees a struct and takes the address of a pointer to it. */
export function freeBy(free: (at: number) => unknown, value: number): void {
  const cell = pointer.alloc();
  cell.value = value;
  free(cell.$address);
}

/** The first members of AVCodecDescriptor (codec_desc.h). */
const descriptor = struct("AVCodecDescriptor", 4, { id: i32(0) });

/** The library that is loaded. */
export class AvLibrary {
  readonly soname: string;
  /** FFmpeg's version and that of the library: "5.1.9-0+deb12u1, libavcodec 59.37.100". */
  readonly version: string;
  /** The licence of this build, in its own words. */
  readonly licence: string;
  /** For the owners in ffi/. */
  readonly functions: AvFunctions;

  constructor(soname: string, av: AvFunctions) {
    av.av_log_set_level(AV_LOG_QUIET);
    const number = versionText(av.avcodec_version());
    if (soname !== `libavcodec.so.${number.split(".")[0]}`)
      throw new LibraryError(`${soname} says that it is version ${number}`, false);
    this.soname = soname;
    this.version = `${textAt(av.av_version_info())}, libavcodec ${number}`;
    this.licence = textAt(av.avcodec_license());
    this.functions = av;
  }

  /** Whether it can decode a codec of this name ("h264", as `ffmpeg -codecs` lists them). */
  decodes(codec: string): boolean {
    const id = this.#codecId(codec);
    return id !== undefined && this.functions.avcodec_find_decoder(id) !== 0;
  }

  /** The number of a codec in this version, and the address of its decoder. Throws CallError when it has none. */
  decoder(codec: string): { readonly id: number; readonly decoder: number } {
    const id = this.#codecId(codec);
    const decoder = id === undefined ? 0 : this.functions.avcodec_find_decoder(id);
    if (id === undefined || decoder === 0)
      throw new CallError("avcodec_find_decoder", codec, "no such decoder");
    return { id, decoder };
  }

  /** The name of a pixel format: AVFrame.format. */
  pixelFormatName(format: number): string {
    return textAt(this.functions.av_get_pix_fmt_name(format));
  }

  #codecId(codec: string): number | undefined {
    const name = cString(codec);
    const found = this.functions.avcodec_descriptor_get_by_name(addressOf(name));
    return found === 0 ? undefined : descriptor.over(viewOf(found, descriptor.size)).id;
  }
}

let loaded: AvLibrary | undefined;

/** Loads the newest version that is installed and works. Throws LibraryError when there is none. */
export function loadAvcodec(): AvLibrary {
  loaded ??= openFirst(
    "libavcodec",
    AVCODEC_SONAMES,
    (soname) => new AvLibrary(soname, openLibrary(soname, signatures)),
  );
  return loaded;
}
