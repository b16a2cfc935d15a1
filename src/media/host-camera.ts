// A host's camera as the source of the device. The node is opened to ask what the camera has, and closed again: the camera's light is on
// only while a guest streams, and LINGER_MS longer.
import type { Source } from "../frame/source.ts";
import type { VideoDevice } from "../v4l2/device.ts";
import { cameraOffers } from "./camera-offers.ts";
import { FrameSource } from "./frame-source.ts";
import { HostControls, type WithCamera } from "./host-controls.ts";
import { hostSelections } from "./host-selections.ts";
import type { FormatOffer, Interval, Mode } from "./offers.ts";

export interface HostCameraOptions {
  /** What the user calls it. */
  readonly name: string;
  /** Opens the node, to ask it. Throws UnavailableError. */
  readonly openNode: () => VideoDevice;
  /** Opens it as a source; `pixelformat` is the camera's own. Throws UnavailableError or UsageError. */
  readonly open: (mode: Mode & { readonly pixelformat: number }, interval: Interval) => Source;
  /** Whether guests see its controls, and may crop. */
  readonly controls: boolean;
  /** Those of its formats that guests are offered; by default all. */
  readonly choose?: (offers: readonly FormatOffer[]) => readonly FormatOffer[];
}

/** Asks the camera what it has. Throws UnavailableError when it is not there, or has nothing to offer. */
export function hostCamera(options: HostCameraOptions): FrameSource {
  const { name, openNode, open, controls, choose = (all) => all } = options;
  let source: FrameSource | undefined;
  const withCamera: WithCamera = (what) => {
    const streaming = source?.device;
    if (streaming !== undefined) return what(streaming as VideoDevice);
    using device = openNode();
    return what(device);
  };
  const { offers, asked } = withCamera(cameraOffers);
  const hostControls = controls ? new HostControls(withCamera) : undefined;
  source = new FrameSource({
    name,
    offers: choose(offers),
    controls: hostControls,
    selections: controls ? hostSelections(withCamera) : undefined,
    open: (mode, interval) => {
      const pixelformat = asked.get(mode.pixelformat) ?? mode.pixelformat;
      const opened = open({ ...mode, pixelformat }, interval);
      if (opened.device !== undefined) hostControls?.restore(opened.device as VideoDevice);
      return opened;
    },
  });
  return source;
}
