// A V4L2 node that shows pictures: whether it is one, and how its driver takes them. Decided before the first picture: the
// flags of a v4l2loopback node change to CAPTURE when its writer begins, for the writer's own file as well.
import { SysError } from "../../ffi/errno.ts";
import { writeAt } from "../../ffi/fd.ts";
import { V4L2_EVENT_PRI_CLIENT_USAGE } from "../../ffi/linux/v4l2loopback.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { UnavailableError } from "../errors.ts";
import { openVideoDevice, queryCapability, type VideoDevice } from "./device.ts";
import { bufferType } from "./format.ts";

/** An opened node. Tests have fakes (test/support/fake-loopback.ts, fake-output.ts). */
export interface OutputNode extends VideoDevice {
  /** write(2). Answers the bytes taken, or a negative errno. */
  write(address: number, length: number): number;
}

/** How a driver takes pictures. */
interface OutputDriver {
  /** As QUERYCAP names it. */
  readonly name: string;
  /** By write(2), or in the buffers of a queue. */
  readonly how: "write" | "queue";
  /** The event that says how many programs read the node's pictures. */
  readonly readersEvent?: number;
}

/**
 * Drivers that are not like all others. v4l2loopback has buffers as well, but no ownership of them: a reader gets a buffer
 * that is being filled. With write() no torn picture was ever seen.
 */
const drivers: readonly OutputDriver[] = [
  { name: "v4l2 loopback", how: "write", readersEvent: V4L2_EVENT_PRI_CLIENT_USAGE },
];

export interface OutputDevice extends OutputDriver {
  readonly card: string;
  readonly multiplanar: boolean;
  /** Its v4l2_buf_type. */
  readonly type: number;
}

/** Opens a node to write pictures to. Throws UnavailableError with advice. */
export function openOutputNode(path: string): OutputNode {
  const device = openVideoDevice(path, "output");
  return {
    path,
    get fd() {
      return device.fd;
    },
    ioctl: (request, argument) => device.ioctl(request, argument),
    map: (length, offset) => device.map(length, offset),
    write: (address, length) => writeAt(device.fd, address, length),
    [Symbol.dispose]: () => device[Symbol.dispose](),
  };
}

/** Asks a node what it is. Throws UnavailableError unless it takes pictures. */
export function examineOutput(node: VideoDevice): OutputDevice {
  const { driver, card, flags } = capabilityOf(node);
  const refuse = (why: string) => new UnavailableError(`${node.path}: ${card} ${why}`);
  const has = (flag: number) => (flags & flag) !== 0;
  if (has(v.V4L2_CAP_VIDEO_M2M) || has(v.V4L2_CAP_VIDEO_M2M_MPLANE))
    throw refuse("is a codec (memory-to-memory): it shows no pictures; name a video output");
  const row = drivers.find(({ name }) => name === driver) ?? { name: driver, how: "queue" };
  const multiplanar = !has(v.V4L2_CAP_VIDEO_OUTPUT);
  if (multiplanar && !has(v.V4L2_CAP_VIDEO_OUTPUT_MPLANE)) {
    if (row.readersEvent !== undefined)
      throw refuse("is written by another program already; stop that one, or name another node");
    throw refuse("is a source of pictures, not an output; name a video output");
  }
  const needed = row.how === "write" ? v.V4L2_CAP_READWRITE : v.V4L2_CAP_STREAMING;
  if (!has(needed))
    throw refuse(`takes no pictures by ${row.how === "write" ? "write()" : "STREAMON"}`);
  return { ...row, card, multiplanar, type: bufferType("output", multiplanar) };
}

function capabilityOf(node: VideoDevice) {
  try {
    return queryCapability(node);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    const todo = "not a video device: name a file, a pipe or a video output with --output";
    throw new UnavailableError(`${error.message}; ${todo}`, { cause: error });
  }
}
