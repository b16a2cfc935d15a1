// From --device of vhost-user-media to the source of its camera.
import { openSource, sourceKind } from "../src/capture/open.ts";
import { UsageError } from "../src/errors.ts";
import { fourccName } from "../src/format/formats.ts";
import { DEFAULT_HEAP } from "../src/frame/memory.ts";
import { FrameSource } from "../src/media/frame-source.ts";
import { madeOffers } from "../src/media/made-offers.ts";
import type { MediaSource } from "../src/media/media-source.ts";
import type { FormatOffer, Interval, Mode } from "../src/media/offers.ts";

/** Pictures of the source that may wait to be copied. */
const BUFFERS = 4;

export interface MediaSourceOptions {
  /** Names of the formats to offer, of those that the source has; undefined: all. */
  readonly formats: readonly string[] | undefined;
}

/** Opens what --device names. Throws UsageError or UnavailableError. */
export function openMediaSource(device: string, options: MediaSourceOptions): MediaSource {
  const open = (mode: Mode, { numerator, denominator }: Interval) =>
    openSource(device, {
      width: mode.width,
      height: mode.height,
      format: fourccName(mode.pixelformat),
      fps: denominator / numerator,
      buffers: BUFFERS,
      memory: "mmap",
      heap: DEFAULT_HEAP,
    });
  if (sourceKind(device) !== "testsrc") throw new UsageError(`--device ${device}: no such source`);
  const source = new FrameSource({
    name: device,
    offers: only(madeOffers(), options.formats, device),
    open,
  });
  return source;
}

/** The offers whose formats are named, in the order of the names. Throws UsageError. */
function only(
  offers: readonly FormatOffer[],
  names: readonly string[] | undefined,
  device: string,
): readonly FormatOffer[] {
  if (names === undefined) return offers;
  return names.map((name) => {
    const offer = offers.find(({ pixelformat }) => fourccName(pixelformat) === name);
    if (offer !== undefined) return offer;
    const known = offers.map(({ pixelformat }) => fourccName(pixelformat)).join(", ");
    throw new UsageError(`--formats ${name}: ${device} has ${known}`);
  });
}
