// Command lines for a written file: the one that plays it, and the one that makes a file of another kind.
import { shellWord } from "../cli/shell.ts";
import { UsageError } from "../errors.ts";
import { fourccName, pixelFormat } from "../format/formats.ts";
import type { Picture } from "../format/picture-layout.ts";

/** ffmpeg's names of the compressed formats that a file can hold without a container. */
const streams: Readonly<Record<string, string>> = {
  MJPG: "mjpeg",
  JPEG: "mjpeg",
  H264: "h264",
  HEVC: "hevc",
  MPG1: "mpegvideo",
  MPG2: "mpegvideo",
  MPG4: "m4v",
};

/** A file name as a word of a shell that ffmpeg takes for a file. */
function wordOf(name: string): string {
  // ffplay takes "-x" for an option and "pipe:0" for a protocol; with "./" in front they are files.
  const path = /^-|^[a-zA-Z0-9+.-]+:/.test(name) ? `./${name}` : name;
  return shellWord(path);
}

/** Whether a file of this name is written as YUV4MPEG2. */
export const isY4m = (name: string): boolean => /\.y4m$/i.test(name);

/** An ffplay command line for frames of this size and format in the file `name`; undefined where ffplay knows none. */
export function playCommand(name: string, picture: Picture, fps: number): string | undefined {
  const file = name === "stdout" ? "-" : wordOf(name);
  const format = pixelFormat(picture.pixelformat);
  if (isY4m(name) && format?.y4m !== undefined) return `play it: ffplay ${file}`;
  if (format === undefined) {
    const stream = streams[fourccName(picture.pixelformat)];
    return stream === undefined ? undefined : `play it: ffplay -f ${stream} ${file}`;
  }
  const rate = fps > 0 ? ` -framerate ${Number(fps.toFixed(2))}` : "";
  const size = `${picture.width}x${picture.height}`;
  return `play it: ffplay -f rawvideo -pixel_format ${format.ffmpeg} -video_size ${size}${rate} ${file}`;
}

/** Names of files that have a header or a container, which the tools do not write. */
const films =
  "mp4 m4v mkv webm avi mov mpg mpeg ts mts m2ts vob flv f4v wmv asf ogv 3gp mxf nut gif".split(
    " ",
  );
const pictures = "jpg jpeg png bmp tga tif tiff webp jp2 ppm pgm".split(" ");

/** Refuses a name that promises another kind of file. Throws UsageError with the pipe that makes one. */
export function checkOutputName(name: string): void {
  const ending = /\.([^./]+)$/.exec(name)?.[1]?.toLowerCase() ?? "";
  const one = pictures.includes(ending);
  if (!one && !films.includes(ending)) return;
  const input = "-f rawvideo -pixel_format yuyv422 -video_size 640x480 -framerate 30 -i -";
  const output = `${one ? "-frames:v 1 -update 1 " : ""}${wordOf(name)}`;
  throw new UsageError(
    `--output ${name}: frames are written raw or as .y4m, not as .${ending}; ffmpeg makes one: -o - | ffmpeg ${input} ${output} (here for 640x480 YUYV)`,
  );
}
