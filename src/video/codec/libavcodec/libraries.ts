// Which of FFmpeg's libraries this host has, and under which licence they are: they are loaded at run time and not part of this
// program.
import { AVCODEC_PACKAGES, loadAvcodec } from "../../../../ffi/libavcodec.ts";
import { LibraryError } from "../../../../ffi/library.ts";

/** A line for each library. */
export function avLibraries(): readonly string[] {
  try {
    const { soname, version, licence } = loadAvcodec();
    return [`${soname}: FFmpeg ${version}, ${licence}; loaded from this host`];
  } catch (error) {
    if (!(error instanceof LibraryError)) throw error;
    return [`${error.message}; install ${AVCODEC_PACKAGES}`];
  }
}
