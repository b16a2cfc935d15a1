// Option rows of the tools that open a window.
import { statSync } from "node:fs";
import * as sdl from "../../ffi/sdl2.ts";
import { inGroup } from "../cli/groups.ts";
import type { Options, Values } from "../cli/options.ts";
import type { Explained } from "../cli/tool-text.ts";
import { UsageError } from "../errors.ts";
import { scaleModes } from "./placement.ts";

/** Conversions from YCbCr to RGB by option value. SDL 2 has no full range BT.709. */
const conversions = {
  bt601: sdl.SDL_YUV_CONVERSION_BT601,
  bt709: sdl.SDL_YUV_CONVERSION_BT709,
  "bt601-full": sdl.SDL_YUV_CONVERSION_JPEG,
} as const;

/** Options of the window. */
export const displayOptions = inGroup("window", {
  fullscreen: { type: "flag", help: "start in full screen; key f switches" },
  scale: {
    type: "choice",
    choices: scaleModes,
    default: "fit",
    help: "how the picture fills the window",
  },
  colour: {
    type: "choice",
    choices: ["auto", ...Object.keys(conversions)],
    default: "auto",
    help: "matrix and range of YCbCr; auto is bt601, V4L2's default; the sender says if its camera differs",
  },
  "no-vsync": { type: "flag", help: "do not wait for the screen's refresh" },
  hud: { type: "flag", help: "show frame rate, drops and latency in the picture" },
  snapshot: {
    type: "text",
    value: "DIR",
    completes: { files: "folders" },
    help: "folder in which key s saves the picture as PNG",
  },
} as const satisfies Options);

/** Keys of the window: SDL's number of the key, its name, and what it does. */
export const displayKeys = [
  { key: sdl.SDLK_ESCAPE, word: "Esc", does: "end", meaning: "end the tool" },
  { key: keyOf("q"), word: "q", does: "end", meaning: "end the tool" },
  { key: keyOf("f"), word: "f", does: "fullscreen", meaning: "full screen, or a window again" },
  {
    key: keyOf("s"),
    word: "s",
    does: "snapshot",
    meaning: "save the picture as PNG in the folder of --snapshot",
  },
] as const;

export type KeyAction = (typeof displayKeys)[number]["does"];

export const displayEnvironment: readonly Explained[] = [
  { word: "DISPLAY, WAYLAND_DISPLAY", meaning: "the display that the window opens on" },
  { word: "SDL_VIDEODRIVER", meaning: "SDL's video driver: x11, wayland, or kmsdrm on a console" },
  { word: "SDL_RENDER_DRIVER", meaning: "SDL's renderer, software for example" },
];

/** SDL names a key by its lower-case character. */
function keyOf(character: string): number {
  return character.charCodeAt(0);
}

export type DisplayOptions = Omit<Values<typeof displayOptions>, "given">;

/** Throws UsageError if the folder for snapshots does not exist. */
export function checkSnapshotDir(dir: string | undefined): void {
  if (dir === undefined) return;
  if (isFolder(dir)) return;
  throw new UsageError(`--snapshot must be an existing folder, got "${dir}"`);
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** The SDL_YUV_CONVERSION_* of --colour. JPEG has its own: full range, converted by its decoder. */
export function conversionFor(option: DisplayOptions["colour"]): number {
  return conversions[option === "auto" ? "bt601" : (option as keyof typeof conversions)];
}
