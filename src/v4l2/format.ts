// The format of a queue: G_FMT, S_FMT, TRY_FMT and the visible part, for the single-planar and the multi-planar API.
import type { Ioctl } from "../../ffi/ioctl.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import type { Struct } from "../../ffi/struct.ts";
import type { PixelFormat, PlaneShape } from "../format/formats.ts";
import type { VideoDevice } from "./device.ts";

/** "capture": the device fills buffers. "output": the device reads them. */
export type Direction = "capture" | "output";

/** The v4l2_buf_type of a device's queue. */
export function bufferType(direction: Direction, multiplanar: boolean): number {
  if (direction === "capture")
    return multiplanar ? v.V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE : v.V4L2_BUF_TYPE_VIDEO_CAPTURE;
  return multiplanar ? v.V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE : v.V4L2_BUF_TYPE_VIDEO_OUTPUT;
}

function isMultiplanar(type: number): boolean {
  return (
    type === v.V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE || type === v.V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE
  );
}

/** Bytes of one memory plane, and of one row in it. */
export interface PlaneFormat {
  readonly sizeimage: number;
  readonly bytesperline: number;
}

/** The format of a queue. Pixels and bytes. */
export interface QueueFormat {
  readonly fourcc: number;
  readonly width: number;
  readonly height: number;
  /** Memory planes. */
  readonly planes: readonly PlaneFormat[];
}

/** Bytes per row of colour plane `i`: in one memory plane, padded in proportion to the first (v4l2_pix_format). */
export function strideOf({ planes }: QueueFormat, format: PixelFormat, i: number): number {
  const perPixel = (plane: PlaneShape | undefined) => (plane ? plane.bytes / plane.across : 0);
  const share = perPixel(format.planes[i]) / perPixel(format.planes[0]);
  return Math.floor((planes[0]?.bytesperline ?? 0) * share);
}

/** What to ask a driver for. A plane that is left out, or a 0 in one, is the driver's choice. */
export interface FormatWish extends Omit<QueueFormat, "planes"> {
  readonly planes?: readonly PlaneFormat[];
  /** V4L2_COLORSPACE_..., of pictures that we make. */
  readonly colorspace?: number;
}

type Format = Struct<typeof v.v4l2Format.fields>;

/** The entries of `plane_fmt` that `num_planes` counts, as structs over the format's memory. */
function planeStructs(format: Format) {
  const count = Math.min(format["fmt.pix_mp.num_planes"], v.VIDEO_MAX_PLANES);
  const first = v.v4l2Format.fields["fmt.pix_mp.plane_fmt"].offset;
  const { size } = v.v4l2PlanePixFormat;
  return Array.from({ length: count }, (_, i) =>
    v.v4l2PlanePixFormat.over(format.$bytes, first + i * size),
  );
}

function planesOf(format: Format): PlaneFormat[] {
  if (isMultiplanar(format.type))
    return planeStructs(format).map(({ sizeimage, bytesperline }) => ({ sizeimage, bytesperline }));
  const { "fmt.pix.sizeimage": sizeimage, "fmt.pix.bytesperline": bytesperline } = format;
  return [{ sizeimage, bytesperline }];
}

/** Width, height, pixelformat and field are at the same place in fmt.pix and fmt.pix_mp. */
function read(format: Format): QueueFormat {
  return {
    fourcc: format["fmt.pix.pixelformat"],
    width: format["fmt.pix.width"],
    height: format["fmt.pix.height"],
    planes: planesOf(format),
  };
}

function write(
  format: Format,
  { fourcc, width, height, planes = [], colorspace = 0 }: FormatWish,
): void {
  format["fmt.pix.width"] = width;
  format["fmt.pix.height"] = height;
  format["fmt.pix.pixelformat"] = fourcc;
  format["fmt.pix.field"] = v.V4L2_FIELD_NONE;
  if (isMultiplanar(format.type)) {
    format["fmt.pix_mp.num_planes"] = planes.length;
    format["fmt.pix_mp.colorspace"] = colorspace;
    for (const [i, struct] of planeStructs(format).entries()) Object.assign(struct, planes[i]);
    return;
  }
  format["fmt.pix.colorspace"] = colorspace;
  format["fmt.pix.sizeimage"] = planes[0]?.sizeimage ?? 0;
  format["fmt.pix.bytesperline"] = planes[0]?.bytesperline ?? 0;
}

/** G_FMT. Undefined when the call fails: some decoders have no picture format before they have seen a header. */
export function getFormat(device: VideoDevice, type: number): QueueFormat | undefined {
  const format = v.v4l2Format.alloc();
  format.type = type;
  return device.ioctl(v.VIDIOC_G_FMT, format) < 0 ? undefined : read(format);
}

/** What a driver says of colours: V4L2_COLORSPACE_*, V4L2_YCBCR_ENC_*, V4L2_QUANTIZATION_*; 0 is "the default". */
export interface ColourFacts {
  readonly colorspace: number;
  readonly ycbcrEnc: number;
  readonly quantization: number;
}

/** G_FMT: the colours of a queue. Undefined when the call fails. */
export function getColours(device: VideoDevice, type: number): ColourFacts | undefined {
  const format = v.v4l2Format.alloc();
  format.type = type;
  if (device.ioctl(v.VIDIOC_G_FMT, format) < 0) return undefined;
  if (isMultiplanar(type)) {
    const { "fmt.pix_mp.colorspace": colorspace, "fmt.pix_mp.ycbcr_enc": ycbcrEnc } = format;
    return { colorspace, ycbcrEnc, quantization: format["fmt.pix_mp.quantization"] };
  }
  const { "fmt.pix.colorspace": colorspace, "fmt.pix.priv": priv } = format;
  // Without this mark the later members are not valid.
  if (priv !== v.V4L2_PIX_FMT_PRIV_MAGIC) return { colorspace, ycbcrEnc: 0, quantization: 0 };
  const { "fmt.pix.ycbcr_enc": ycbcrEnc, "fmt.pix.quantization": quantization } = format;
  return { colorspace, ycbcrEnc, quantization };
}

/** The V4L2_FIELD_ of the current format: how its lines are ordered. Undefined when G_FMT fails. */
export function getField(device: VideoDevice, type: number): number | undefined {
  const format = v.v4l2Format.alloc();
  format.type = type;
  return device.ioctl(v.VIDIOC_G_FMT, format) < 0 ? undefined : format["fmt.pix.field"];
}

/** S_FMT. What the driver chose, or a negative errno. */
export function setFormat(
  device: VideoDevice,
  type: number,
  wish: FormatWish,
): QueueFormat | number {
  return askFor(device, v.VIDIOC_S_FMT, type, wish);
}

/** TRY_FMT: what S_FMT would choose. Nothing changes. Negative errno where it fails. */
export function tryFormat(
  device: VideoDevice,
  type: number,
  wish: FormatWish,
): QueueFormat | number {
  return askFor(device, v.VIDIOC_TRY_FMT, type, wish);
}

function askFor(
  device: VideoDevice,
  request: Ioctl<typeof v.v4l2Format.fields>,
  type: number,
  wish: FormatWish,
): QueueFormat | number {
  const format = v.v4l2Format.alloc();
  format.type = type;
  write(format, wish);
  const r = device.ioctl(request, format);
  return r < 0 ? r : read(format);
}

/** A rectangle in a picture, pixels. */
export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * The visible part of a capture queue's pictures: the compose rectangle, else the crop rectangle, else all of it. A
 * rectangle that reaches outside of the picture is passed over.
 */
export function visiblePart(
  device: VideoDevice,
  type: number,
  { width, height }: QueueFormat,
): Rectangle {
  const selection = v.v4l2Selection.alloc();
  // VIDIOC_G_SELECTION: before Linux 4.13 a multi-planar driver took only one of the two types.
  for (const target of [v.V4L2_SEL_TGT_COMPOSE, v.V4L2_SEL_TGT_CROP])
    for (const asked of [v.V4L2_BUF_TYPE_VIDEO_CAPTURE, type]) {
      selection.type = asked;
      selection.target = target;
      if (device.ioctl(v.VIDIOC_G_SELECTION, selection) < 0) continue;
      const left = selection["r.left"];
      const top = selection["r.top"];
      const w = selection["r.width"];
      const h = selection["r.height"];
      if (left < 0 || top < 0 || w < 1 || h < 1 || left + w > width || top + h > height) continue;
      return { left, top, width: w, height: h };
    }
  return { left: 0, top: 0, width, height };
}
