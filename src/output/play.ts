// The command line that plays a written file.
import { shellWord } from "../cli/shell.ts";
import { pixelFormat } from "../format/formats.ts";
import type { Picture } from "../format/picture-layout.ts";

/** An ffplay command line for frames of this size and format in the file `name`. */
export function playCommand(name: string, picture: Picture, fps: number): string {
  // ffplay takes "-x" for an option and "pipe:0" for a protocol; with "./" in front they are files.
  const path = /^-|^[a-zA-Z0-9+.-]+:/.test(name) ? `./${name}` : name;
  const quoted = shellWord(path);
  const file = name === "stdout" ? "-" : quoted;
  const format = pixelFormat(picture.pixelformat);
  if (name.endsWith(".y4m") && format?.y4m !== undefined) return `play it: ffplay ${quoted}`;
  if (format === undefined) return `play it: ffplay ${file}`;
  const rate = fps > 0 ? ` -framerate ${Number(fps.toFixed(2))}` : "";
  const size = `${picture.width}x${picture.height}`;
  return `play it: ffplay -f rawvideo -pixel_format ${format.ffmpeg} -video_size ${size}${rate} ${file}`;
}
