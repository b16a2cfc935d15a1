// What a host's camera has, as the guest sees it: its formats, sizes and rates. Formats that no stand-by picture can be made in are
// left out.

import { UnavailableError } from "../errors.ts";
import { isConvertible } from "../format/convertible.ts";
import { fourcc, pixelFormat } from "../format/formats.ts";
import { queryCapability, type VideoDevice } from "../v4l2/device.ts";
import { abilitiesOf } from "../v4l2/kinds.ts";
import type { FormatOffer as NodeFormat, SizeOffer as NodeSize } from "../v4l2/offers.ts";
import { listOffers } from "../v4l2/offers.ts";
import { descriptions } from "./descriptions.ts";
import { usualSizes } from "./made-offers.ts";
import { type FormatOffer, type Interval, intervalOf, type SizeOffer } from "./offers.ts";

/** Rates offered of a camera that does not list its own, or lists a range. */
const usualRates = [30, 25, 15, 10, 5];
/** Sizes offered of a camera that lists a range. */
const rangeSizes = [...usualSizes, [160, 120], [800, 600], [1024, 768], [3840, 2160]] as const;
/** Entries of each list: programs of guests ask for one after the other. */
const MOST_SIZES = 64;
const MOST_RATES = 32;

/** A format as the guest sees it, and as the camera is asked for it. */
export interface CameraOffers {
  readonly card: string;
  readonly offers: readonly FormatOffer[];
  /** The camera's format for each offered one, where it is another: pictures in separate memory planes are joined. */
  readonly asked: ReadonlyMap<number, number>;
}

/** Asks a camera for all that it has. Throws UnavailableError for a device that has nothing to offer. */
export function cameraOffers(device: VideoDevice): CameraOffers {
  const { card, flags } = queryCapability(device);
  const { queues } = abilitiesOf(device, flags);
  const captures = queues.filter(({ direction }) => direction === "capture");
  const asked = new Map<number, number>();
  const offers: FormatOffer[] = [];
  for (const format of listOffers(device, captures).formats) {
    const { sentAs } = pixelFormat(format.fourcc) ?? {};
    const pixelformat = sentAs === undefined ? format.fourcc : fourcc(sentAs);
    if (!isConvertible(pixelformat) || asked.has(pixelformat)) continue;
    const sizes = sizesOf(format);
    if (sizes.length === 0) continue;
    asked.set(pixelformat, format.fourcc);
    offers.push({ pixelformat, description: describe(pixelformat, format), sizes });
  }
  if (offers.length === 0)
    throw new UnavailableError(
      `${device.path}: ${card} has no format that a guest can be given; name another with --device`,
    );
  return { card, offers, asked };
}

const describe = (pixelformat: number, format: NodeFormat) =>
  pixelformat === format.fourcc ? format.description : (descriptions.get(pixelformat) ?? "");

function sizesOf({ sizes }: NodeFormat): SizeOffer[] {
  return sizes.flatMap(single).slice(0, MOST_SIZES);
}

/** Whether a range has that length. */
const has = ({ min, max, step }: NodeSize["width"], length: number) =>
  length >= min && length <= max && (length - min) % Math.max(1, step) === 0;

/** A single size, or the usual ones within a range. */
function single({ width, height, rates }: NodeSize): SizeOffer[] {
  const intervals = intervalsOf(rates);
  if (width.min === width.max && height.min === height.max)
    return [{ width: width.min, height: height.min, intervals }];
  const usual = rangeSizes.filter(([w, h]) => has(width, w) && has(height, h));
  const all = usual.length > 0 ? usual : [[width.min, height.min] as const];
  return all.map(([w, h]) => ({ width: w, height: h, intervals }));
}

function intervalsOf(rates: NodeSize["rates"]): readonly Interval[] {
  if (!("min" in rates))
    return (rates.length > 0 ? rates : usualRates).slice(0, MOST_RATES).map(intervalOf);
  const within = usualRates.filter((rate) => rate >= rates.min && rate <= rates.max);
  return (within.length > 0 ? within : [rates.max]).map(intervalOf);
}
