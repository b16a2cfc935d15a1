// What sources offer that make any size and rate, such as testsrc, or that are scaled to any size, such as the stream of a sender.
import { fourcc } from "../format/formats.ts";
import { descriptions } from "./descriptions.ts";
import { type FormatOffer, intervalOf } from "./offers.ts";

/** Formats that programs of guests take, the usual one first. */
export const usualFormats: readonly string[] = ["YUYV", "NV12", "YU12"];

/** Sizes that programs ask for; the first is the default. */
export const usualSizes: readonly (readonly [number, number])[] = [
  [640, 480],
  [320, 240],
  [1280, 720],
  [1920, 1080],
];

const usualRates = [30, 15, 60];

/** Offers `formats` in `sizes`, each at the rates. */
export function madeOffers(
  formats: readonly string[] = usualFormats,
  sizes: readonly (readonly [number, number])[] = usualSizes,
  rates: readonly number[] = usualRates,
): readonly FormatOffer[] {
  const intervals = rates.map(intervalOf);
  return formats.map((name) => ({
    pixelformat: fourcc(name),
    description: descriptions.get(fourcc(name)) ?? name,
    sizes: sizes.map(([width, height]) => ({ width, height, intervals })),
  }));
}
