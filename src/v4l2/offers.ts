// All that a node offers: its formats with sizes and rates, bounded for drivers whose lists have no end.
import type { VideoDevice } from "./device.ts";
import type { Direction } from "./format.ts";
import {
  type FormatEntry,
  type FrameRates,
  type FrameSize,
  listFrameRates,
  listFrameSizes,
} from "./format-list.ts";
import type { NodeQueue } from "./kinds.ts";

export interface SizeOffer extends FrameSize {
  readonly rates: FrameRates;
}

export interface FormatOffer extends FormatEntry {
  readonly direction: Direction;
  readonly sizes: readonly SizeOffer[];
}

export interface Offers {
  readonly formats: readonly FormatOffer[];
  /** The driver has more than was read. */
  readonly cut: boolean;
}

/** Sizes that are asked for their rates, per node. A camera with 60 formats of 30 sizes has 1800. */
const MOST_SIZES = 2048;
/** The lists end after this time, milliseconds: each entry is a call to the driver. vivid's 7000 take 50 ms, emulated 10 s. */
const MOST_MS = 20_000;
/** Rates that are read per node; vivid has 6000. */
const MOST_RATES = 16_384;

/** The formats of a node's queues, each once, with their sizes and rates. */
export function listOffers(device: VideoDevice, queues: readonly NodeQueue[]): Offers {
  const untilMs = performance.now() + MOST_MS;
  let left = MOST_SIZES;
  let ratesLeft = MOST_RATES;
  const over = () => left <= 0 || ratesLeft <= 0 || performance.now() > untilMs;
  let cut = false;
  const formats: FormatOffer[] = [];
  for (const { direction, formats: entries } of queues) {
    for (const entry of new Map(entries.map((each) => [each.fourcc, each])).values()) {
      const sizes: SizeOffer[] = [];
      cut ||= over();
      for (const size of cut ? [] : possible(listFrameSizes(device, entry.fourcc))) {
        cut ||= over();
        if (cut) break;
        left -= 1;
        const rates = ratesOf(device, entry.fourcc, size);
        if (!("min" in rates)) ratesLeft -= rates.length;
        sizes.push({ ...size, rates });
      }
      formats.push({ ...entry, direction, sizes });
    }
  }
  return { formats, cut };
}

const isSingle = ({ width, height }: FrameSize) =>
  width.min === width.max && height.min === height.max;

/** Each size once, without those that no picture can have. */
function possible(sizes: readonly FrameSize[]): readonly FrameSize[] {
  const once = new Map(sizes.map((size) => [JSON.stringify(size), size]));
  return [...once.values()].filter(({ width, height }) => width.max > 0 && height.max > 0);
}

/** A range of sizes has no single rates: VIDIOC_ENUM_FRAMEINTERVALS takes one size. */
function ratesOf(device: VideoDevice, fourcc: number, size: FrameSize): FrameRates {
  if (!isSingle(size)) return [];
  return listFrameRates(device, fourcc, { width: size.width.min, height: size.height.min });
}
