// Where the pictures of the camera come from: the built-in source, a host's camera, a recording, the stream of a sender. The device
// knows only this interface.
import type { Piece } from "../../ffi/gather.ts";
import type { Picture } from "../format/picture-layout.ts";
import type { DeviceLoop } from "../virtio/virtio-device.ts";
import type { Controls } from "./controls.ts";
import type { FormatOffer, Interval, Mode } from "./offers.ts";
import type { Selections } from "./selections.ts";

/** A picture in memory of the source. */
export interface ShownFrame {
  readonly pieces: readonly Piece[];
  readonly bytesused: number;
  /** When it was captured, CLOCK_MONOTONIC of this host, seconds and microseconds; 0 when that is not known. */
  readonly tsSec: number;
  readonly tsUsec: number;
}

/** Takes the pictures of a source. */
export interface Viewer {
  /** The next pictures have this size and format, until `begin` is called again. `fps`: their rate, where it is known. */
  begin(picture: Picture, fps: number | undefined): void;
  /** A new picture. Its memory is read during the call only. */
  show(frame: ShownFrame): void;
  /** No pictures come for now. `lines` say why; they are shown to the guest. */
  lost(lines: readonly string[]): void;
}

export interface MediaSource extends Disposable {
  /** For messages: "/dev/video0", "testsrc:bars". */
  readonly name: string;
  /** At least one. The first is the default. */
  readonly offers: readonly FormatOffer[];
  /** The controls that guests may see and set; undefined when there are none. */
  readonly controls: Controls | undefined;
  /** Where the camera can crop: the part that it shows. */
  readonly selections?: Selections | undefined;
  /**
   * Calls `viewer` with pictures as near to the mode and interval as the source has them, until `stop`. Never throws: on a
   * fault it calls `viewer.lost` with the reason and tries again.
   */
  start(loop: DeviceLoop, mode: Mode, interval: Interval, viewer: Viewer): void;
  /** Ends the calls to the viewer. The source may stay open for a while, in case the next stream begins soon. */
  stop(): void;
}
