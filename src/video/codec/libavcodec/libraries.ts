// Which libraries of FFmpeg this host has, and under which licence: they are loaded at run time and not part of this program.
import { AVCODEC_PACKAGES, loadAvcodec } from "../../../../ffi/libavcodec.ts";
import { LibraryError } from "../../../../ffi/library.ts";
import { SWSCALE_PACKAGES, swscaleVersion } from "../../../../ffi/swscale.ts";

/** The lines of `--version --verbose`. */
export const avLibraries = (): readonly string[] => [
  libraryLine(loadAvcodec, AVCODEC_PACKAGES),
  libraryLine(swscaleVersion, SWSCALE_PACKAGES),
];

interface LoadedLibrary {
  readonly soname: string;
  readonly version: string;
  readonly licence: string;
}

function libraryLine(load: () => LoadedLibrary, packages: string): string {
  try {
    const { soname, version, licence } = load();
    return `${soname}: FFmpeg ${version}, ${licence}; loaded from this host`;
  } catch (error) {
    if (!(error instanceof LibraryError)) throw error;
    return `${error.message}; install ${packages}`;
  }
}
