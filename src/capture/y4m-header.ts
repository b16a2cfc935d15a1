// The header of a YUV4MPEG2 stream and the lines between its pictures. https://wiki.multimedia.cx/index.php/YUV4MPEG2
import { log } from "../cli/log.ts";
import { UnavailableError, UsageError } from "../errors.ts";
import { formats, type PixelFormat, pixelFormatNamed } from "../format/formats.ts";
import { pictureBytes } from "../format/picture-layout.ts";
import { isPlanar, planarBytes } from "../format/planar.ts";
import type { CaptureWish } from "./negotiate.ts";

export const Y4M_MAGIC = "YUV4MPEG2";
export const MAX_HEADER = 4096;
export const DEFAULT_FPS = 30;
const LOWEST_FPS = 0.001;
const HIGHEST_FPS = 1000;

/** What a recording has: pictures of one size and format. */
export interface RecordedPictures {
  readonly width: number;
  readonly height: number;
  /** The format they are sent in. */
  readonly format: PixelFormat;
  readonly fps: number;
  /** Bytes of a picture as it is sent. */
  readonly sizeimage: number;
  /** Bytes of a picture in the recording. */
  readonly stored: number;
  /** The recording has a plane per component, the format has not: see format/planar.ts. */
  readonly fromPlanes: boolean;
}

/** What the command line says about a recording. */
export interface RecordingWish extends CaptureWish {
  /** The options that the command line names. */
  readonly given?: ReadonlySet<string> | undefined;
}

/** Text without the carriage return that a CRLF file has at the end of a line. */
export const withoutCr = (line: string): string => (line.endsWith("\r") ? line.slice(0, -1) : line);

/** Whether a line announces a picture. */
export const isFrameLine = (line: string): boolean => line === "FRAME" || line.startsWith("FRAME ");

/** Reads the header line. Throws UnavailableError, or UsageError where options contradict it. */
export function readY4mHeader(name: string, line: string, wish: RecordingWish): RecordedPictures {
  const words = withoutCr(line).split(" ");
  const tag = (letters: string) =>
    words.find((word) => word.startsWith(letters))?.slice(letters.length);
  const whole = (text = "") => (/^\d{1,10}$/.test(text) ? Number(text) : 0);
  const width = whole(tag("W"));
  const height = whole(tag("H"));
  const [frames, seconds] = (tag("F") ?? "").split(":").map(whole);
  // Files without a C tag may have mplayer's comment instead.
  const space = tag("C") ?? tag("XYSCSS=")?.toLowerCase() ?? "420jpeg";
  const sane = (n: number) => n >= 1 && n <= 16384;
  if (words[0] !== Y4M_MAGIC || !sane(width) || !sane(height)) {
    throw new UnavailableError(
      `${name}: not a YUV4MPEG2 file with a size of 1 to 16384; check the file`,
    );
  }
  const format = formatOf(space);
  if (format === undefined) {
    throw new UnavailableError(
      `${name}: colour space C${space}, only C420, C422 and Cmono are known; convert it with ffmpeg -pix_fmt yuv420p`,
    );
  }
  checkOptions(name, { width, height, format: format.name }, wish);
  const order = fieldOrders.get(tag("I") ?? "");
  if (order !== undefined)
    log.warn(
      `${name}: pictures are interlaced (${order}): moving edges show lines; ffmpeg -vf bwdif makes whole pictures`,
    );
  return {
    width,
    height,
    format,
    fps: wish.fps ?? sensibleRate(name, (frames ?? 0) / (seconds ?? 0)),
    sizeimage: pictureBytes(format, width, height),
    stored: planarBytes(format, width, height),
    fromPlanes: !isPlanar(format),
  };
}

/** Values of the tag I of pictures that are two fields; p is progressive. Nothing in a stream tells a receiver. */
const fieldOrders: ReadonlyMap<string, string> = new Map([
  ["t", "top field first"],
  ["b", "bottom field first"],
  ["m", "some of them"],
]);

/** The format in which pictures of a colour space are sent. There is no planar 4:2:2 format; YUYV has the same samples. */
function formatOf(space: string): PixelFormat | undefined {
  const is420 = ["420", "420jpeg", "420mpeg2", "420paldv"].includes(space);
  const rows = formats.filter(({ y4m }) => y4m === (is420 ? "420jpeg" : space));
  const inOrder = ({ components }: PixelFormat) => components.every(({ plane }, i) => plane === i);
  return rows.find((row) => isPlanar(row) && inOrder(row)) ?? rows[0];
}

/** Throws UsageError for an option that contradicts the header. */
function checkOptions(
  name: string,
  header: { readonly width: number; readonly height: number; readonly format: string },
  wish: RecordingWish,
): void {
  const row = wish.given?.has("format") ? pixelFormatNamed(wish.format) : undefined;
  const said = { ...wish, format: row?.sentAs ?? wish.format };
  for (const option of ["width", "height", "format"] as const) {
    if (wish.given?.has(option) !== true || said[option] === header[option]) continue;
    const { width, height, format } = header;
    throw new UsageError(
      `${name} has ${width}x${height} ${format} pictures, --${option} says ${wish[option]}; omit --${option}`,
    );
  }
}

/** The rate of a header if it is in range, else the default and a warning. "0:0" means unknown: no warning. */
function sensibleRate(name: string, fps: number): number {
  if (fps >= LOWEST_FPS && fps <= HIGHEST_FPS) return fps;
  if (!Number.isNaN(fps)) {
    log.warn(`${name}: ${fps} fps is not ${LOWEST_FPS} to ${HIGHEST_FPS}; taking ${DEFAULT_FPS}`);
  }
  return DEFAULT_FPS;
}

/** The pictures of a raw recording, as the options say. Throws UsageError for a format whose size is not known. */
export function rawPictures(wish: RecordingWish): RecordedPictures {
  const { width, height, format: name, fps = DEFAULT_FPS } = wish;
  const row = pixelFormatNamed(name);
  if (row === undefined) {
    const known = formats.map((format) => format.name).join(", ");
    throw new UsageError(`a raw file needs one of the formats ${known}, got --format ${name}`);
  }
  const format = pixelFormatNamed(row.sentAs ?? row.name) ?? row;
  const sizeimage = pictureBytes(format, width, height);
  return { width, height, format, fps, sizeimage, stored: sizeimage, fromPlanes: false };
}
