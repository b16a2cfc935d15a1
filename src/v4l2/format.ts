// Formats of a memory-to-memory device, single- or multi-planar alike: what S_FMT and G_FMT say.

import * as v from "../../ffi/linux/videodev2.ts";
import type { Struct } from "../../ffi/struct.ts";
import type { VideoDevice } from "./device.ts";

/** The buffer types of a device's two queues. */
export interface Api {
  readonly bitstream: number;
  readonly pictures: number;
  readonly multiplanar: boolean;
}
export const singlePlanar: Api = {
  bitstream: v.V4L2_BUF_TYPE_VIDEO_OUTPUT,
  pictures: v.V4L2_BUF_TYPE_VIDEO_CAPTURE,
  multiplanar: false,
};
export const multiPlanar: Api = {
  bitstream: v.V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE,
  pictures: v.V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
  multiplanar: true,
};

/** The format of a queue. Pixels and bytes. */
export interface M2mFormat {
  readonly fourcc: number;
  readonly width: number;
  readonly height: number;
  /** Memory planes. */
  readonly planes: readonly { readonly sizeimage: number; readonly bytesperline: number }[];
}

function planesOf(format: Struct<typeof v.v4l2Format.fields>, multiplanar: boolean) {
  const count = multiplanar ? Math.min(format["fmt.pix_mp.num_planes"], v.VIDEO_MAX_PLANES) : 0;
  const first = v.v4l2Format.fields["fmt.pix_mp.plane_fmt"].offset;
  return Array.from({ length: count }, (_, i) =>
    v.v4l2PlanePixFormat.over(format.$bytes, first + i * v.v4l2PlanePixFormat.size),
  );
}

function read(format: Struct<typeof v.v4l2Format.fields>, multiplanar: boolean): M2mFormat {
  return {
    fourcc: format["fmt.pix.pixelformat"],
    width: format["fmt.pix.width"],
    height: format["fmt.pix.height"],
    planes: multiplanar
      ? planesOf(format, true).map(({ sizeimage, bytesperline }) => ({ sizeimage, bytesperline }))
      : [
          {
            sizeimage: format["fmt.pix.sizeimage"],
            bytesperline: format["fmt.pix.bytesperline"],
          },
        ],
  };
}

/** G_FMT; undefined with a negative errno's reason unknown: some drivers have no format before a header. */
export function getFormat(device: VideoDevice, type: number): M2mFormat | undefined {
  const format = v.v4l2Format.alloc();
  format.type = type;
  if (device.ioctl(v.VIDIOC_G_FMT, format) < 0) return undefined;
  return read(format, type >= v.V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE);
}

/** S_FMT; what the driver made of it, or a negative errno. `sizeimage` 0 is the driver's choice. */
export function setFormat(
  device: VideoDevice,
  type: number,
  wish: {
    readonly fourcc: number;
    readonly width: number;
    readonly height: number;
    readonly sizeimage: number;
  },
): M2mFormat | number {
  const multiplanar = type >= v.V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
  const format = v.v4l2Format.alloc();
  format.type = type;
  format["fmt.pix.width"] = wish.width;
  format["fmt.pix.height"] = wish.height;
  format["fmt.pix.pixelformat"] = wish.fourcc;
  format["fmt.pix.field"] = v.V4L2_FIELD_NONE;
  if (multiplanar) {
    format["fmt.pix_mp.num_planes"] = 1;
    const [plane] = planesOf(format, true);
    if (plane !== undefined) plane.sizeimage = wish.sizeimage;
  } else format["fmt.pix.sizeimage"] = wish.sizeimage;
  const r = device.ioctl(v.VIDIOC_S_FMT, format);
  return r < 0 ? r : read(format, multiplanar);
}

/** The visible part of the pictures: compose, else crop, else all of it. Bounded to the picture. */
export function visible(device: VideoDevice, api: Api, format: M2mFormat) {
  const selection = v.v4l2Selection.alloc();
  const { width, height } = format;
  // Older kernels take the single-planar type only, whatever the device.
  for (const target of [v.V4L2_SEL_TGT_COMPOSE, v.V4L2_SEL_TGT_CROP])
    for (const type of [v.V4L2_BUF_TYPE_VIDEO_CAPTURE, api.pictures]) {
      selection.type = type;
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
