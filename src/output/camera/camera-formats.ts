// Which pixel formats the programs that use cameras take, and what a virtual camera makes of the others.
import { nearest, probablyMeant } from "../../cli/suggest.ts";
import { UsageError } from "../../errors.ts";
import { jpegFormats } from "../../format/convertible.ts";
import { formats, fourcc, fourccName } from "../../format/formats.ts";
import type { Picture, PictureFormat } from "../../format/picture-layout.ts";

/** Formats that are in the table and that hardly any program takes. */
const untaken: readonly number[] = [
  "GREY",
  "NM12",
  "NM21",
  "YM12",
  "Y10",
  "Y12",
  "Y16",
  "P010",
].map(fourcc);
/** What they become: every program takes it. */
const SAFE = fourcc("YUYV");

export interface CameraFormatOptions {
  /** --camera-format: a fourcc. */
  readonly format: string | undefined;
  /** --camera-size. */
  readonly size: { readonly width: number; readonly height: number } | undefined;
}

/** The fourcc number of --camera-format. Throws UsageError for a format that cannot be made. */
export function cameraFormat(name: string): number {
  const names = [...formats.map((row) => row.name), ...jpegFormats.map(fourccName)];
  if (names.includes(name.trimEnd())) return fourcc(name);
  const meant = probablyMeant(nearest(name, names));
  throw new UsageError(`--camera-format must be ${names.join(", ")}, got "${name}"${meant}`);
}

/** The format that the node should have for a stream. */
export function wantedFormat(stream: Picture, options: CameraFormatOptions): PictureFormat {
  const { width, height } = options.size ?? stream;
  const own = untaken.includes(stream.pixelformat) ? SAFE : stream.pixelformat;
  const pixelformat = options.format === undefined ? own : cameraFormat(options.format);
  return { width, height, pixelformat };
}

/** The format before the first stream. */
export const firstFormat = ({ format, size }: CameraFormatOptions): PictureFormat => ({
  ...(size ?? { width: 640, height: 480 }),
  pixelformat: format === undefined ? SAFE : cameraFormat(format),
});
