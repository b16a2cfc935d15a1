// Starts SDL and reports what is missing on this host.
import { CallError } from "../../ffi/library.ts";
import { SdlVideo } from "../../ffi/sdl2-window.ts";
import { needLibrary, UnavailableError } from "../errors.ts";
import type { Environment } from "./servers.ts";

/** Drivers that show nothing. SDL falls back to them without an error. */
const invisible: readonly string[] = ["offscreen", "dummy", "evdev"];

/**
 * Starts SDL's video subsystem, with the driver that `answeringDriver` found. Throws UnavailableError if SDL or a display is
 * missing.
 */
export function startVideo(env: Environment, driver?: string): SdlVideo {
  return needLibrary(() => {
    const asked = driver ?? env.SDL_VIDEODRIVER ?? "";
    let video: SdlVideo;
    try {
      video = new SdlVideo(driver);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      const tried = asked === "" ? visibleDrivers() : asked;
      throw new UnavailableError(`${error.message} (tried ${tried}); ${advice(asked, env)}`, {
        cause: error,
      });
    }
    if (!invisible.includes(video.driver) || asked.split(",").includes(video.driver)) return video;
    const fallback = video.driver;
    video[Symbol.dispose]();
    throw new UnavailableError(
      `no display: SDL tried ${visibleDrivers()} and fell back to "${fallback}", which shows nothing; ${advice(asked, env)}`,
    );
  }, "libsdl2-2.0-0");
}

const visibleDrivers = () =>
  SdlVideo.builtIn()
    .filter((name) => !invisible.includes(name))
    .join(", ");

/** What to do: about the server that was named and does not answer, about SDL_VIDEODRIVER, or about a missing name. */
function advice(asked: string, env: Environment): string {
  const { DISPLAY: x = "", WAYLAND_DISPLAY: wayland = "" } = env;
  const unreachable = [
    ...(x === "" ? [] : [`DISPLAY=${x}`]),
    ...(wayland === "" ? [] : [`WAYLAND_DISPLAY=${wayland}`]),
  ].join(" and ");
  if (unreachable !== "") {
    const mayUse = "check that the server runs and that this user may use it (xhost, XAUTHORITY)";
    return `${unreachable} cannot be reached: ${mayUse}`;
  }
  return asked === ""
    ? "set DISPLAY or WAYLAND_DISPLAY, or SDL_VIDEODRIVER=kmsdrm on a console"
    : "choose another SDL_VIDEODRIVER or leave it out";
}
