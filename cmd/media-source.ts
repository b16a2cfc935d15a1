// From --device of vhost-user-media to the source of its camera.
import { openSource, sourceKind } from "../src/capture/open.ts";
import { isStdin } from "../src/capture/pipe-input.ts";
import { UsageError } from "../src/errors.ts";
import { fourcc, fourccName } from "../src/format/formats.ts";
import { DEFAULT_HEAP } from "../src/frame/memory.ts";
import type { Source } from "../src/frame/source.ts";
import { FrameSource } from "../src/media/frame-source.ts";
import { hostCamera } from "../src/media/host-camera.ts";
import { madeOffers, usualFormats } from "../src/media/made-offers.ts";
import type { MediaSource } from "../src/media/media-source.ts";
import type { FormatOffer, Interval, Mode } from "../src/media/offers.ts";
import { openVideoDevice } from "../src/v4l2/device.ts";
import { findNode } from "../src/v4l2/find-node.ts";

/** Pictures of the source that may wait to be copied. */
const BUFFERS = 4;
/** The rate of a recording that does not say its own. */
const USUAL_RATE = 30;

export interface MediaSourceOptions {
  /** Names of the formats to offer, of those that the source has; undefined: all. */
  readonly formats: readonly string[] | undefined;
  /** Whether guests see and set the controls of a camera. */
  readonly controls: boolean;
}

/** Opens what --device names. Throws UsageError or UnavailableError. */
export function openMediaSource(device: string, options: MediaSourceOptions): MediaSource {
  const { formats, controls } = options;
  const kind = sourceKind(device);
  const open = (mode: Pick<Mode, "width" | "height" | "pixelformat">, interval: Interval) =>
    openAs(device, mode, interval);
  if (kind === "testsrc")
    return new FrameSource({ name: device, offers: offered(madeOffers(), formats, device), open });
  if (kind === "recording") return recording(device, formats, open);
  const openNode = () => openVideoDevice(findNode(device, ["camera"]));
  const choose = (offers: readonly FormatOffer[]) => offered(offers, formats, device);
  return hostCamera({ name: device, openNode, open, controls, choose });
}

function openAs(
  device: string,
  { width, height, pixelformat }: Pick<Mode, "width" | "height" | "pixelformat">,
  interval: Interval | undefined,
): Source {
  return openSource(device, {
    width,
    height,
    format: fourccName(pixelformat),
    fps: interval && interval.denominator / interval.numerator, // a recording has its own
    buffers: BUFFERS,
    memory: "mmap",
    heap: DEFAULT_HEAP,
  });
}

/** A recording has one size and one rate. Its format is offered first; others are converted. */
function recording(
  device: string,
  formats: readonly string[] | undefined,
  open: (mode: Mode, interval: Interval) => Source,
): MediaSource {
  if (isStdin(device))
    throw new UsageError(
      `--device ${device}: each guest needs the recording from its beginning, name a file`,
    );
  const wish = { width: 640, height: 480, pixelformat: fourcc("YUYV") };
  using first = openAs(device, wish, undefined);
  const { picture, fps = USUAL_RATE } = first;
  const own = fourccName(picture.pixelformat);
  const names = [own, ...usualFormats.filter((name) => name !== own)];
  const offers = madeOffers(names, [[picture.width, picture.height]], [fps]);
  return new FrameSource({ name: device, offers: offered(offers, formats, device), open });
}

/** The offers whose formats are named, in the order of the names. Throws UsageError. */
export function offered(
  offers: readonly FormatOffer[],
  names: readonly string[] | undefined,
  source: string,
): readonly FormatOffer[] {
  if (names === undefined) return offers;
  return names.map((name) => {
    const offer = offers.find(({ pixelformat }) => fourccName(pixelformat) === name);
    if (offer !== undefined) return offer;
    const known = offers.map(({ pixelformat }) => fourccName(pixelformat)).join(", ");
    throw new UsageError(`--formats ${name}: ${source} has ${known}`);
  });
}
