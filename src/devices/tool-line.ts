// The command line that uses a device, for a person to copy.
import { pixelFormatNamed } from "../format/formats.ts";
import type { Kind } from "../v4l2/kinds.ts";
import type { FormatReport, Pixels, SizeReport } from "./report.ts";

/** The sender's own size. */
const USUAL = { width: 640, height: 480 };
/** A line does not propose more pixels than this when the usual size is missing. */
const MOST_PIXELS = 1920 * 1080;

/** The line for a node of these kinds; undefined where no tool uses such a device. */
export function toolLine(
  node: string,
  kinds: readonly Kind[],
  formats: readonly FormatReport[],
): string | undefined {
  if (kinds.includes("camera")) return senderLine(node, formats);
  if (kinds.includes("decoder"))
    return `vhost-user-video -s /run/video.sock -b v4l2-decoder -d ${node}`;
  if (kinds.includes("output")) return `receiver -p 5000 -o ${node}`;
  return undefined;
}

function senderLine(node: string, formats: readonly FormatReport[]): string | undefined {
  const captured = formats.filter(({ queue, format }) => queue === "capture" && isName(format));
  const chosen = captured.find(({ format }) => pixelFormatNamed(format)) ?? captured[0];
  if (chosen === undefined) return undefined;
  const { format, sizes } = chosen;
  const { width, height } = sizeFor(sizes);
  const name = format.includes(" ") ? `'${format}'` : format;
  return `sender -d ${node} -f ${name} -W ${width} -H ${height} -a HOST -p 5000`;
}

/** Whether the command line can say the name: a number in hexadecimal stands for a fourcc without one. */
const isName = (format: string) => /^[\x21-\x7e][\x20-\x7e]{0,3}$/.test(format);

const covers = (pixels: Pixels, wanted: number) =>
  typeof pixels === "number"
    ? pixels === wanted
    : pixels.min <= wanted &&
      wanted <= pixels.max &&
      (wanted - pixels.min) % (pixels.step || 1) === 0;

/** The usual size, else the largest one that is not too large, else the first one. */
function sizeFor(sizes: readonly SizeReport[]): { width: number; height: number } {
  const usual = sizes.some(
    ({ width, height }) => covers(width, USUAL.width) && covers(height, USUAL.height),
  );
  if (usual || sizes.length === 0) return USUAL;
  const largest = sizes
    .map(({ width, height }) => ({ width: largestOf(width), height: largestOf(height) }))
    .toSorted((a, b) => b.width * b.height - a.width * a.height);
  const fits = largest.find(({ width, height }) => width * height <= MOST_PIXELS);
  return fits ?? largest.at(-1) ?? USUAL;
}

const largestOf = (pixels: Pixels) => (typeof pixels === "number" ? pixels : pixels.max);
