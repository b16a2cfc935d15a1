// What a device offers: ENUM_FMT and ENUM_FRAMESIZES.
import * as v from "../../ffi/linux/videodev2.ts";
import type { VideoDevice } from "./device.ts";

/** Entries read of a list. Real drivers have fewer; a broken one may have no end. */
const MAX_ENTRIES = 256;

/** The pixel formats of a queue, in the driver's order. */
export function listFormats(device: VideoDevice, type: number): readonly number[] {
  const found: number[] = [];
  for (let index = 0; index < MAX_ENTRIES; index++) {
    const entry = v.v4l2Fmtdesc.alloc();
    entry.index = index;
    entry.type = type;
    if (device.ioctl(v.VIDIOC_ENUM_FMT, entry) < 0) break;
    found.push(entry.pixelformat);
  }
  return found;
}

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
