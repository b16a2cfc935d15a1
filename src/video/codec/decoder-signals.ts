// The signals between a V4L2 decoder and its user besides buffers: source changes, start and stop. dev-decoder.rst
import { errno, SysError } from "../../../ffi/errno.ts";
import * as v from "../../../ffi/linux/videodev2.ts";
import type { VideoDevice } from "../../v4l2/device.ts";

export class DecoderSignals {
  readonly #device: VideoDevice;
  readonly #event = v.v4l2Event.alloc();
  readonly #command = v.v4l2DecoderCmd.alloc();

  /** Subscribes to source changes: before the first STREAMON, or the first event is lost. Throws SysError. */
  constructor(device: VideoDevice) {
    this.#device = device;
    const wish = v.v4l2EventSubscription.alloc();
    wish.type = v.V4L2_EVENT_SOURCE_CHANGE;
    const r = device.ioctl(v.VIDIOC_SUBSCRIBE_EVENT, wish);
    if (r < 0) throw new SysError("VIDIOC_SUBSCRIBE_EVENT", device.path, -r);
  }

  /** Takes the events that are there; true when one announced another picture format. */
  takeChange(): boolean {
    let changed = false;
    while (this.#device.ioctl(v.VIDIOC_DQEVENT, this.#event) >= 0) {
      if (this.#event.type !== v.V4L2_EVENT_SOURCE_CHANGE) continue;
      if ((this.#event["u.src_change.changes"] & v.V4L2_EVENT_SRC_CH_RESOLUTION) !== 0)
        changed = true;
    }
    return changed;
  }

  /** Continues after a stop. Decoders that were not stopped may refuse it. */
  start(): void {
    this.#send(v.V4L2_DEC_CMD_START);
  }

  /** Decodes what is queued, and marks the last picture. Throws SysError. */
  stop(): void {
    const r = this.#send(v.V4L2_DEC_CMD_STOP);
    if (r < 0 && r !== -errno.EBUSY)
      throw new SysError("VIDIOC_DECODER_CMD", this.#device.path, -r);
  }

  #send(cmd: number): number {
    this.#command.$bytes.fill(0);
    this.#command.cmd = cmd;
    return this.#device.ioctl(v.VIDIOC_DECODER_CMD, this.#command);
  }
}
