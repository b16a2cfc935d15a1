// What a device offers: ENUM_FMT, ENUM_FRAMESIZES and ENUM_FRAMEINTERVALS.
import * as v from "../../ffi/linux/videodev2.ts";
import { printable, type VideoDevice } from "./device.ts";

/** Entries read of a list. Real drivers have fewer; a broken one may have no end. */
const MAX_ENTRIES = 256;

/** An entry of ENUM_FMT. */
export interface FormatEntry {
  readonly fourcc: number;
  readonly description: string;
  readonly compressed: boolean;
  /** Made by the library libv4l, not by the device. */
  readonly emulated: boolean;
}

/** The pixel formats of a queue with their descriptions, in the driver's order. */
export function listFormatEntries(device: VideoDevice, type: number): readonly FormatEntry[] {
  const found: FormatEntry[] = [];
  for (let index = 0; index < MAX_ENTRIES; index++) {
    const entry = v.v4l2Fmtdesc.alloc();
    entry.index = index;
    entry.type = type;
    if (device.ioctl(v.VIDIOC_ENUM_FMT, entry) < 0) break;
    found.push({
      fourcc: entry.pixelformat,
      description: printable(entry.description),
      compressed: (entry.flags & v.V4L2_FMT_FLAG_COMPRESSED) !== 0,
      emulated: (entry.flags & v.V4L2_FMT_FLAG_EMULATED) !== 0,
    });
  }
  return found;
}

/** The pixel formats of a queue, in the driver's order. */
export const listFormats = (device: VideoDevice, type: number): readonly number[] =>
  listFormatEntries(device, type).map(({ fourcc }) => fourcc);

/** Sizes from `min` to `max` in steps of `step`, pixels; for a single size the two are equal. */
export interface SizeRange {
  readonly min: number;
  readonly max: number;
  readonly step: number;
}
export interface FrameSize {
  readonly width: SizeRange;
  readonly height: SizeRange;
}

const range = (min: number, max: number, step: number) => ({ min, max: Math.max(min, max), step });

/** The frame sizes of a pixel format: single sizes, or one range. Empty where the driver lists none. */
export function listFrameSizes(device: VideoDevice, fourcc: number): readonly FrameSize[] {
  const found: FrameSize[] = [];
  for (let index = 0; index < MAX_ENTRIES; index++) {
    const size = v.v4l2Frmsizeenum.alloc();
    size.index = index;
    size.pixel_format = fourcc;
    if (device.ioctl(v.VIDIOC_ENUM_FRAMESIZES, size) < 0) break;
    if (size.type !== v.V4L2_FRMSIZE_TYPE_DISCRETE) {
      const { "stepwise.step_width": across, "stepwise.step_height": down } = size;
      return [
        {
          width: range(size["stepwise.min_width"], size["stepwise.max_width"], across),
          height: range(size["stepwise.min_height"], size["stepwise.max_height"], down),
        },
      ];
    }
    const { "discrete.width": width, "discrete.height": height } = size;
    found.push({ width: range(width, width, 1), height: range(height, height, 1) });
  }
  return found;
}

/** Frames per second: single rates, the driver's first one first, or all from `min` to `max`. */
export type FrameRates = readonly number[] | { readonly min: number; readonly max: number };

/** The rates of a pixel format at a size. Empty where the driver lists none. */
export function listFrameRates(
  device: VideoDevice,
  fourcc: number,
  { width, height }: { readonly width: number; readonly height: number },
): FrameRates {
  const found: number[] = [];
  const entry = v.v4l2Frmivalenum.alloc();
  for (let index = 0; index < MAX_ENTRIES; index++) {
    entry.index = index;
    entry.pixel_format = fourcc;
    entry.width = width;
    entry.height = height;
    if (device.ioctl(v.VIDIOC_ENUM_FRAMEINTERVALS, entry) < 0) break;
    if (entry.type !== v.V4L2_FRMIVAL_TYPE_DISCRETE) {
      // The longest interval is the lowest rate.
      const min = rate(entry["stepwise.max.numerator"], entry["stepwise.max.denominator"]);
      const max = rate(entry["stepwise.min.numerator"], entry["stepwise.min.denominator"]);
      return max > 0 ? { min, max } : [];
    }
    const fps = rate(entry["discrete.numerator"], entry["discrete.denominator"]);
    if (fps > 0 && !found.includes(fps)) found.push(fps);
  }
  return found;
}

/** Frames per second of an interval of `numerator`/`denominator` seconds; 0 for an impossible one. */
const rate = (numerator: number, denominator: number) =>
  numerator > 0 ? Number((denominator / numerator).toFixed(3)) : 0;
