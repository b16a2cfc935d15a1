// What the camera offers to guests: pixel formats with sizes and rates; and the mode nearest to what a guest asks for.
import * as v from "../../ffi/linux/videodev2.ts";
import { pixelFormat } from "../format/formats.ts";
import { layoutOf, pictureBytes } from "../format/picture-layout.ts";

/** Seconds between two pictures, as V4L2 has them: 1/30 is 30 pictures per second. */
export interface Interval {
  readonly numerator: number;
  readonly denominator: number;
}

export interface SizeOffer {
  readonly width: number;
  readonly height: number;
  /** At least one; the first is the default. */
  readonly intervals: readonly Interval[];
}

export interface FormatOffer {
  /** V4L2 fourcc number. */
  readonly pixelformat: number;
  /** As the kernel describes the format. */
  readonly description: string;
  /** At least one; the first is the default. */
  readonly sizes: readonly SizeOffer[];
}

/** What is set: one offered format at one offered size, with how its pictures lie in memory. */
export interface Mode {
  readonly pixelformat: number;
  readonly width: number;
  readonly height: number;
  readonly bytesperline: number;
  readonly sizeimage: number;
  readonly colorspace: number;
  readonly size: SizeOffer;
}

/** Bytes per pixel of the largest compressed picture; cameras say the same. */
const COMPRESSED = 2;
const LEAST_COMPRESSED = 65_536;

/** The mode of an offered format at an offered size. */
export function modeOf({ pixelformat }: FormatOffer, size: SizeOffer): Mode {
  const { width, height } = size;
  const format = pixelFormat(pixelformat);
  if (format === undefined) {
    const sizeimage = Math.max(LEAST_COMPRESSED, width * height * COMPRESSED);
    const colorspace = v.V4L2_COLORSPACE_JPEG;
    return { pixelformat, width, height, bytesperline: 0, sizeimage, colorspace, size };
  }
  return {
    pixelformat,
    width,
    height,
    bytesperline: layoutOf(format, width, height)[0]?.rowBytes ?? 0,
    sizeimage: pictureBytes(format, width, height),
    colorspace: v.V4L2_COLORSPACE_SRGB,
    size,
  };
}

const first = <T>(list: readonly T[], what: string): T => {
  const [one] = list;
  if (one === undefined) throw new RangeError(`a source without ${what}`);
  return one;
};

/** The offered mode nearest to a wish; the first format where the wished one is not offered. */
export function nearestMode(
  offers: readonly FormatOffer[],
  wish: { readonly pixelformat: number; readonly width: number; readonly height: number },
): Mode {
  const format =
    offers.find(({ pixelformat }) => pixelformat === wish.pixelformat) ?? first(offers, "formats");
  let best = first(format.sizes, "sizes");
  let least = Number.POSITIVE_INFINITY;
  for (const size of format.sizes) {
    const distance = Math.abs(size.width - wish.width) + Math.abs(size.height - wish.height);
    if (distance >= least) continue;
    least = distance;
    best = size;
  }
  return modeOf(format, best);
}

/** The mode before a guest has set one. */
export function firstMode(offers: readonly FormatOffer[]): Mode {
  const format = first(offers, "formats");
  return modeOf(format, first(format.sizes, "sizes"));
}

const seconds = ({ numerator, denominator }: Interval) => numerator / denominator;

/** The offered interval nearest to a wish; the default one for a wish of 0. */
export function nearestInterval({ intervals }: SizeOffer, wish: Interval): Interval {
  let best = first(intervals, "rates");
  if (wish.numerator === 0 || wish.denominator === 0) return best;
  for (const one of intervals) {
    const nearer = Math.abs(seconds(one) - seconds(wish)) < Math.abs(seconds(best) - seconds(wish));
    if (nearer) best = one;
  }
  return best;
}

/** 1/30 for whole rates, 1001/30000 for those of television, otherwise in thousandths. */
export function intervalOf(rate: number): Interval {
  if (Math.abs(rate - Math.round(rate)) < 1e-6)
    return { numerator: 1, denominator: Math.max(1, Math.round(rate)) };
  const television = Math.round(rate) / 1.001;
  if (Math.abs(rate - television) < 1e-3)
    return { numerator: 1001, denominator: Math.round(rate) * 1000 };
  return { numerator: 1000, denominator: Math.max(1, Math.round(rate * 1000)) };
}
