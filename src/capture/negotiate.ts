// Negotiates with a camera: QUERYCAP, S_FMT, S_PARM. The answers of the driver apply, not the wish.
import { SysError } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { advised, needed, UnavailableError } from "../errors.ts";
import { fourcc, fourccName } from "../format/formats.ts";
import { queryCapability, roles, unavailable, type VideoDevice } from "../v4l2/device.ts";
import {
  bufferType,
  type FormatWish,
  getField,
  getFormat,
  type PlaneFormat,
  type QueueFormat,
  setFormat,
} from "../v4l2/format.ts";
import { listFormats, listFrameSizes } from "../v4l2/format-list.ts";

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
    const has = listed(sizesOf(device, agreed.fourcc));
    changes.push(
      `size is ${agreed.width}x${agreed.height}, asked for ${wish.width}x${wish.height}${has}`,
    );
  }
  if (agreed.fourcc !== fourcc(wish.format)) {
    const has = listed(listFormats(device, type).map(fourccName));
    changes.push(`format is ${fourccName(agreed.fourcc)}, asked for ${wish.format}${has}`);
  }
  const order = interlaced[getField(device, type) ?? 0];
  if (order !== undefined) {
    changes.push(`pictures are interlaced (${order}): moving edges show lines`);
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

/** V4L2_FIELD_ values of pictures that are no whole frames, and their names in videodev2.h. */
const interlaced: Readonly<Record<number, string>> = {
  2: "top",
  3: "bottom",
  4: "interlaced",
  5: "seq-tb",
  6: "seq-bt",
  7: "alternate",
  8: "interlaced-tb",
  9: "interlaced-bt",
};

/** Entries of a list that fit in a line. */
const MOST_LISTED = 12;

/** "; it has A, B", or nothing for an empty list. */
function listed(entries: readonly string[]): string {
  const different = [...new Set(entries)];
  const more = different.length > MOST_LISTED ? ", ..." : "";
  const shown = different.slice(0, MOST_LISTED).join(", ");
  return shown === "" ? "" : `; it has ${shown}${more}`;
}

function sizesOf(device: VideoDevice, pixelformat: number): string[] {
  return listFrameSizes(device, pixelformat).map(({ width, height }) =>
    width.min === width.max && height.min === height.max
      ? `${width.min}x${height.min}`
      : `${width.min}x${height.min} to ${width.max}x${height.max}`,
  );
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
  if (typeof answer === "number") {
    const refused = unavailable(new SysError("VIDIOC_S_FMT", device.path, -answer));
    throw advised(refused, listed(listFormats(device, type).map(fourccName)).slice(2));
  }
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
