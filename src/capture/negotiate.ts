// Negotiates with a camera: QUERYCAP, S_FMT, S_PARM. The answers of the driver apply, not the wish.
import { SysError } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { needed, UnavailableError } from "../errors.ts";
import { fourcc, fourccName } from "../format/formats.ts";
import { queryCapability, roles, unavailable, type VideoDevice } from "../v4l2/device.ts";
import {
  bufferType,
  type FormatWish,
  getFormat,
  type PlaneFormat,
  type QueueFormat,
  setFormat,
} from "../v4l2/format.ts";

export interface CaptureWish {
  readonly width: number;
  readonly height: number;
  /** A fourcc's name. */
  readonly format: string;
  readonly fps?: number | undefined;
}

export interface Negotiated extends QueueFormat {
  readonly multiplanar: boolean;
  readonly card: string;
  readonly fps: number | undefined;
  /** One line for each answer that differs from the wish. */
  readonly changes: readonly string[];
}

/** Negotiates format and rate. Throws UnavailableError when the device cannot capture at all. */
export function negotiate(device: VideoDevice, wish: CaptureWish): Negotiated {
  const { multiplanar, card } = examine(device);
  const type = bufferType("capture", multiplanar);
  const agreed = agreeOnFormat(device, type, wish);
  const changes: string[] = [];
  if (agreed.width !== wish.width || agreed.height !== wish.height) {
    changes.push(
      `size is ${agreed.width}x${agreed.height}, asked for ${wish.width}x${wish.height}`,
    );
  }
  if (agreed.fourcc !== fourcc(wish.format)) {
    changes.push(`format is ${fourccName(agreed.fourcc)}, asked for ${wish.format}`);
  }
  const fps = agreeOnRate(device, type, wish.fps);
  if (wish.fps !== undefined && fps === undefined) {
    changes.push(`the driver sets its own rate, asked for ${wish.fps} fps`);
  } else if (
    wish.fps !== undefined &&
    fps !== undefined &&
    Math.abs(fps - wish.fps) > 0.005 * wish.fps
  ) {
    changes.push(`rate is ${Number(fps.toFixed(3))} fps, asked for ${wish.fps}`);
  }
  return { multiplanar, card, ...agreed, fps, changes };
}

/** What the device is. Throws UnavailableError unless it is a camera that streams. */
function examine(device: VideoDevice): { multiplanar: boolean; card: string } {
  const { card, flags } = capabilityOf(device);
  const single = (flags & v.V4L2_CAP_VIDEO_CAPTURE) !== 0;
  const refuse = (why: string) =>
    new UnavailableError(
      `VIDIOC_QUERYCAP ${device.path}: ${card} ${why}; name another with ${roles.camera.option}`,
    );
  if (!single && (flags & v.V4L2_CAP_VIDEO_CAPTURE_MPLANE) === 0)
    throw refuse("is not a video capture device");
  if ((flags & v.V4L2_CAP_STREAMING) === 0) throw refuse("has no streaming I/O");
  return { multiplanar: !single, card };
}

function capabilityOf(device: VideoDevice) {
  const another = `not a V4L2 device: name another with ${roles.camera.option}`;
  return needed(
    () => queryCapability(device),
    () => another,
  );
}

function agreeOnFormat(device: VideoDevice, type: number, wish: CaptureWish): QueueFormat {
  const { width, height } = wish;
  const asked = { fourcc: fourcc(wish.format), width, height };
  const planes = stridesToKeep(device, type, asked);
  const answer = setFormat(device, type, { ...asked, planes });
  if (typeof answer === "number")
    throw unavailable(new SysError("VIDIOC_S_FMT", device.path, -answer));
  checkFormat(device.path, answer);
  return answer;
}

/** Throws UnavailableError for an answer that no picture can have. */
function checkFormat(path: string, { width, height, planes }: QueueFormat): void {
  const sane = width > 0 && height > 0 && width <= 16384 && height <= 16384;
  if (sane && planes.length > 0 && planes.every((plane) => plane.sizeimage > 0)) return;
  const sizes = planes.map((plane) => plane.sizeimage).join("+");
  const answer = `${width}x${height} with ${sizes || "no"} bytes`;
  throw new UnavailableError(
    `VIDIOC_S_FMT ${path}: the driver answered ${answer}; try another size`,
  );
}

/**
 * The bytes per row that are set already (`v4l2-ctl --set-fmt-video=bytesperline=`), to be asked for again where width
 * and pixel format stay: an S_FMT with 0 there resets them.
 */
function stridesToKeep(
  device: VideoDevice,
  type: number,
  wish: FormatWish,
): readonly PlaneFormat[] {
  const current = getFormat(device, type);
  if (current?.width !== wish.width || current.fourcc !== wish.fourcc) return [];
  return current.planes.map(({ bytesperline }) => ({ sizeimage: 0, bytesperline }));
}

/** The rate that the driver chose, frames per second; undefined where it does not say. */
function agreeOnRate(
  device: VideoDevice,
  type: number,
  fps: number | undefined,
): number | undefined {
  const parm = v.v4l2Streamparm.alloc();
  parm.type = type;
  if (fps === undefined) {
    if (device.ioctl(v.VIDIOC_G_PARM, parm) < 0) return undefined;
  } else {
    parm["parm.capture.timeperframe.numerator"] = 1000;
    parm["parm.capture.timeperframe.denominator"] = Math.max(1, Math.round(fps * 1000));
    if (device.ioctl(v.VIDIOC_S_PARM, parm) < 0) return undefined;
  }
  const seconds = parm["parm.capture.timeperframe.numerator"];
  const frames = parm["parm.capture.timeperframe.denominator"];
  return seconds > 0 && frames > 0 ? frames / seconds : undefined;
}
