// What a camera is and what it agrees to: QUERYCAP, S_FMT, S_PARM. What the driver answered is what counts.
import { must, SysError } from "../../ffi/errno.ts";
import type { Ioctl } from "../../ffi/ioctl.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import type { Fields, Struct } from "../../ffi/struct.ts";
import { needed, UnavailableError } from "../errors.ts";
import { fourcc, fourccName } from "../format/formats.ts";
import { deviceAdvice, type VideoDevice } from "../v4l2/device.ts";

export interface CaptureWish {
  readonly width: number;
  readonly height: number;
  /** A fourcc's name. */
  readonly format: string;
  readonly fps?: number | undefined;
}

/** One memory plane as the driver laid it out. */
export interface MemoryPlane {
  readonly sizeimage: number;
  readonly bytesperline: number;
}

export interface Negotiated {
  /** V4L2_BUF_TYPE_VIDEO_CAPTURE or ..._MPLANE. */
  readonly type: number;
  readonly card: string;
  readonly width: number;
  readonly height: number;
  readonly pixelformat: number;
  readonly planes: readonly MemoryPlane[];
  readonly fps: number | undefined;
  /** What differs from the wish, a line each. */
  readonly changes: readonly string[];
}

/** Carries out an ioctl that has to work for the device to be of use. Throws UnavailableError. */
export function demand<F extends Fields>(
  device: VideoDevice,
  request: Ioctl<F>,
  argument: Struct<F>,
): void {
  needed(() => must(device.ioctl(request, argument), request.name, device.path), deviceAdvice);
}

/** Settles type, format and rate. Throws UnavailableError when the device cannot capture at all. */
export function negotiate(device: VideoDevice, wish: CaptureWish): Negotiated {
  const { type, card } = captureType(device);
  const agreed = agreeOnFormat(device, type, wish);
  const changes: string[] = [];
  if (agreed.width !== wish.width || agreed.height !== wish.height) {
    changes.push(
      `size is ${agreed.width}x${agreed.height}, asked for ${wish.width}x${wish.height}`,
    );
  }
  if (agreed.pixelformat !== fourcc(wish.format)) {
    changes.push(`format is ${fourccName(agreed.pixelformat)}, asked for ${wish.format}`);
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
  return { type, card, ...agreed, fps, changes };
}

function captureType(device: VideoDevice): { type: number; card: string } {
  const caps = v.v4l2Capability.alloc();
  const r = device.ioctl(v.VIDIOC_QUERYCAP, caps);
  if (r < 0) {
    const error = new SysError("VIDIOC_QUERYCAP", device.path, -r);
    throw new UnavailableError(`${error.message}; not a V4L2 device: name another with --device`, {
      cause: error,
    });
  }
  const all = caps.capabilities;
  const own = (all & v.V4L2_CAP_DEVICE_CAPS) !== 0 ? caps.device_caps : all;
  const card = caps.card.replace(/[^\x20-\x7e]/g, "?"); // goes into lines people read
  const single = (own & v.V4L2_CAP_VIDEO_CAPTURE) !== 0;
  if (!single && (own & v.V4L2_CAP_VIDEO_CAPTURE_MPLANE) === 0) {
    const what = `VIDIOC_QUERYCAP ${device.path}: ${card} is not a video capture device`;
    throw new UnavailableError(`${what}; name another with --device`);
  }
  if ((own & v.V4L2_CAP_STREAMING) === 0) {
    const what = `VIDIOC_QUERYCAP ${device.path}: ${card} has no streaming I/O`;
    throw new UnavailableError(`${what}; name another with --device`);
  }
  const type = single ? v.V4L2_BUF_TYPE_VIDEO_CAPTURE : v.V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
  return { type, card };
}

function agreeOnFormat(device: VideoDevice, type: number, wish: CaptureWish) {
  const format = v.v4l2Format.alloc();
  format.type = type;
  format["fmt.pix.width"] = wish.width;
  format["fmt.pix.height"] = wish.height;
  format["fmt.pix.pixelformat"] = fourcc(wish.format);
  format["fmt.pix.field"] = v.V4L2_FIELD_NONE; // the same place in fmt.pix_mp
  keepStride(device, format);
  demand(device, v.VIDIOC_S_FMT, format);
  const agreed = {
    width: format["fmt.pix.width"],
    height: format["fmt.pix.height"],
    pixelformat: format["fmt.pix.pixelformat"],
    planes: memoryPlanes(type, format),
  };
  const { width, height, planes } = agreed;
  const sane = width > 0 && height > 0 && width <= 16384 && height <= 16384;
  if (!sane || planes.length === 0 || planes.some((plane) => plane.sizeimage === 0)) {
    const sizes = planes.map((plane) => plane.sizeimage).join("+");
    const answer = `${width}x${height} with ${sizes || "no"} bytes`;
    throw new UnavailableError(
      `VIDIOC_S_FMT ${device.path}: the driver answered ${answer}; try another size`,
    );
  }
  return agreed;
}

type Format = Struct<typeof v.v4l2Format.fields>;

/**
 * Asks for the bytes per row that are set already (`v4l2-ctl --set-fmt-video=bytesperline=`), as long as
 * width and pixel format stay: an S_FMT with 0 there resets them.
 */
function keepStride(device: VideoDevice, wish: Format): void {
  const current = v.v4l2Format.alloc();
  current.type = wish.type;
  if (device.ioctl(v.VIDIOC_G_FMT, current) < 0) return;
  const same = ["fmt.pix.width", "fmt.pix.pixelformat"] as const; // the same places in fmt.pix_mp
  if (same.some((field) => current[field] !== wish[field])) return;
  if (wish.type === v.V4L2_BUF_TYPE_VIDEO_CAPTURE) {
    wish["fmt.pix.bytesperline"] = current["fmt.pix.bytesperline"];
    return;
  }
  wish["fmt.pix_mp.num_planes"] = current["fmt.pix_mp.num_planes"];
  const planes = planeFormats(wish);
  for (const [i, { bytesperline }] of planeFormats(current).entries()) {
    const plane = planes[i];
    if (plane !== undefined) plane.bytesperline = bytesperline;
  }
}

function memoryPlanes(type: number, format: Format): MemoryPlane[] {
  if (type === v.V4L2_BUF_TYPE_VIDEO_CAPTURE) {
    const { "fmt.pix.sizeimage": sizeimage, "fmt.pix.bytesperline": bytesperline } = format;
    return [{ sizeimage, bytesperline }];
  }
  return planeFormats(format).map(({ sizeimage, bytesperline }) => ({ sizeimage, bytesperline }));
}

/** The planes a multi-planar format has, in place. */
function planeFormats(format: Format) {
  const count = Math.min(format["fmt.pix_mp.num_planes"], v.VIDEO_MAX_PLANES);
  const first = v.v4l2Format.fields["fmt.pix_mp.plane_fmt"].offset;
  const { size } = v.v4l2PlanePixFormat;
  return Array.from({ length: count }, (_, i) =>
    v.v4l2PlanePixFormat.over(format.$bytes, first + i * size),
  );
}

/** The rate the driver settles on, frames per second; undefined where it has no say in it. */
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
