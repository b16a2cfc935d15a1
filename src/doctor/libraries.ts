// The libraries that tools load at run time.
import { AVCODEC_PACKAGES, loadAvcodec } from "../../ffi/libavcodec.ts";
import { LibraryError } from "../../ffi/library.ts";
import { SdlVideo } from "../../ffi/sdl2-window.ts";
import { SWSCALE_PACKAGES, swscaleVersion } from "../../ffi/swscale.ts";
import { JpegDecoder, TURBOJPEG_SONAME } from "../../ffi/turbojpeg.ts";
import type { Context } from "../cli/tool.ts";
import { startVideo } from "../display/driver.ts";
import { answeringDriver } from "../display/servers.ts";
import { needLibrary, UnavailableError } from "../errors.ts";
import { type Finding, missing, ok, tried } from "./finding.ts";

/** SDL with a display that shows windows; undefined when `signal` aborts. */
export async function sdl({ loop, signal }: Context): Promise<Finding | undefined> {
  let answering: string | undefined;
  try {
    answering = await answeringDriver(loop, process.env, signal);
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    return missing(error.message);
  }
  if (signal.aborted) return undefined;
  return tried(
    () => startVideo(process.env, answering),
    ({ driver }) => `driver ${driver}; this SDL has ${SdlVideo.builtIn().join(", ")}`,
  );
}

export const turbojpeg = (): Finding =>
  tried(
    () => needLibrary(() => new JpegDecoder(), "libturbojpeg0"),
    () => TURBOJPEG_SONAME,
  );

export const avcodec = (): Finding => ofFfmpeg(loadAvcodec, AVCODEC_PACKAGES);
export const swscale = (): Finding => ofFfmpeg(swscaleVersion, SWSCALE_PACKAGES);

function ofFfmpeg(
  load: () => { readonly soname: string; readonly version: string },
  packages: string,
): Finding {
  try {
    const { soname, version } = load();
    return ok(`${soname}, FFmpeg ${version}`);
  } catch (error) {
    if (!(error instanceof LibraryError)) throw error;
    return missing(`${error.message}; install ${packages}`);
  }
}
