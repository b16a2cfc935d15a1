// Saves the picture on the screen as a PNG file.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SdlTexture } from "../../ffi/sdl2-texture.ts";
import type { SdlWindow } from "../../ffi/sdl2-window.ts";
import { encodeRgb } from "../format/png.ts";

/** Saves the picture of `texture` in its own size in folder `dir`. Answers the path. Throws CallError or a file system error. */
export function writeSnapshot(
  window: SdlWindow,
  texture: SdlTexture,
  dir: string,
  tool: string,
): string {
  const { width, height } = texture;
  const data = window.readTexture(texture);
  const png = encodeRgb({ width, height, data }, 3); // fast compression: the stream waits
  const time = new Date().toISOString().replaceAll(/[-:]/g, "").replace(".", "-").slice(0, -1);
  const path = join(dir, `${tool}-${time}.png`);
  writeFileSync(path, png, { flag: "wx" });
  return path;
}
