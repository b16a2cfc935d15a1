// Formats under the names that ffmpeg, GStreamer and V4L2's macros have for them: a command line with one is answered with ours.
import { formats } from "./formats.ts";

/** Compressed formats by fourcc, which have no row of layout. */
const compressed: Readonly<Record<string, readonly string[]>> = {
  MJPG: ["MJPEG", "image/jpeg"],
  H264: ["h.264", "avc", "video/x-h264"],
  HEVC: ["h265", "h.265", "video/x-h265"],
};

/** The fourccs that shells suggest. */
export const knownFourccs: readonly string[] = [
  ...formats.map(({ name }) => name),
  ...Object.keys(compressed),
];

const fold = (name: string) => name.toLowerCase();

/** Names in lower case; where two formats have the same one the first row counts. */
const byOtherName = new Map<string, string>();
for (const { name, ffmpeg, gstreamer = name, macro = name } of formats)
  for (const other of [name, ffmpeg, ffmpeg.replace(/le$/, ""), gstreamer, macro].map(fold))
    if (!byOtherName.has(other)) byOtherName.set(other, name);
for (const [name, others] of Object.entries(compressed))
  for (const other of [name, ...others].map(fold)) byOtherName.set(other, name);

/** The fourcc of a format that was given by another name, "yuyv422" or "I420"; undefined for a fourcc and for unknown names. */
export function fourccInstead(given: string): string | undefined {
  const name = byOtherName.get(fold(given.trim()));
  return name === given.trim() ? undefined : name;
}
