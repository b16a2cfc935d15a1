// Which libavcodec this host has, and under which licence: it is loaded at run time and not part of this program.
import { AVCODEC_PACKAGES, loadAvcodec } from "../../../../ffi/libavcodec.ts";
import { LibraryError } from "../../../../ffi/library.ts";

/** The lines of `--version --verbose`. */
export function avLibraries(): readonly string[] {
  try {
    const { soname, version, licence } = loadAvcodec();
    return [`${soname}: FFmpeg ${version}, ${licence}; loaded from this host`];
  } catch (error) {
    if (!(error instanceof LibraryError)) throw error;
    return [`${error.message}; install ${AVCODEC_PACKAGES}`];
  }
}
