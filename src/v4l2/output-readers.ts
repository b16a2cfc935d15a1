// How many programs read the pictures of an output node, for drivers with an event that says it.
import { v4l2EventClientUsage } from "../../ffi/linux/v4l2loopback.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import type { VideoDevice } from "./device.ts";
import type { OutputDevice } from "./output-device.ts";

/** Where the union of struct v4l2_event begins. */
const UNION = v.v4l2Event.fields["u.src_change.changes"].offset;

export class ReaderCount {
  readonly #node: VideoDevice;
  readonly #type: number;
  readonly #event = v.v4l2Event.alloc();
  readonly #usage = v4l2EventClientUsage.over(this.#event.$bytes, UNION);

  private constructor(node: VideoDevice, type: number) {
    this.#node = node;
    this.#type = type;
  }

  /** Subscribes. Undefined where the driver does not count readers (v4l2loopback before 0.13, and all other drivers). */
  static of(node: VideoDevice, { readersEvent }: OutputDevice): ReaderCount | undefined {
    if (readersEvent === undefined) return undefined;
    const wish = v.v4l2EventSubscription.alloc();
    wish.type = readersEvent;
    wish.flags = v.V4L2_EVENT_SUB_FL_SEND_INITIAL;
    if (node.ioctl(v.VIDIOC_SUBSCRIBE_EVENT, wish) < 0) return undefined;
    return new ReaderCount(node, readersEvent);
  }

  /** The newest count of the waiting events, undefined when there are none. */
  take(): number | undefined {
    let count: number | undefined;
    while (this.#node.ioctl(v.VIDIOC_DQEVENT, this.#event) >= 0)
      if (this.#event.type === this.#type) count = this.#usage.count;
    return count;
  }
}
