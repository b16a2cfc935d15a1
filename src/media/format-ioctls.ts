// Formats, sizes and rates: vidioc-enum-fmt.rst, vidioc-g-fmt.rst, vidioc-enum-framesizes.rst, vidioc-g-parm.rst.
import * as v from "../../ffi/linux/videodev2.ts";
import type { Struct } from "../../ffi/struct.ts";
import { pixelFormat } from "../format/formats.ts";
import { type IoctlRow, ioctlRow } from "./ioctl-row.ts";
import { check } from "./media-error.ts";
import { type FormatOffer, type Mode, nearestInterval, nearestMode } from "./offers.ts";

type Format = Struct<typeof v.v4l2Format.fields>;

export const checkType = (type: number): void =>
  check(type === v.V4L2_BUF_TYPE_VIDEO_CAPTURE, "the type is not VIDEO_CAPTURE");

/** Writes every byte of the struct. */
function answerFormat(q: Format, mode: Mode): void {
  q.$bytes.fill(0);
  q.type = v.V4L2_BUF_TYPE_VIDEO_CAPTURE;
  q["fmt.pix.width"] = mode.width;
  q["fmt.pix.height"] = mode.height;
  q["fmt.pix.pixelformat"] = mode.pixelformat;
  q["fmt.pix.field"] = v.V4L2_FIELD_NONE;
  q["fmt.pix.bytesperline"] = mode.bytesperline;
  q["fmt.pix.sizeimage"] = mode.sizeimage;
  q["fmt.pix.colorspace"] = mode.colorspace;
  q["fmt.pix.priv"] = v.V4L2_PIX_FMT_PRIV_MAGIC;
}

function wished(q: Format, offers: readonly FormatOffer[]): Mode {
  checkType(q.type);
  return nearestMode(offers, {
    pixelformat: q["fmt.pix.pixelformat"],
    width: q["fmt.pix.width"],
    height: q["fmt.pix.height"],
  });
}

const offered = (offers: readonly FormatOffer[], pixelformat: number): FormatOffer => {
  const format = offers.find((one) => one.pixelformat === pixelformat);
  check(format !== undefined, "the format is not offered");
  return format;
};

/** The answer of G_PARM and S_PARM: the other union members and reserved fields are 0. */
function answerParm(
  q: Struct<typeof v.v4l2Streamparm.fields>,
  { numerator, denominator }: { readonly numerator: number; readonly denominator: number },
): void {
  q.$bytes.fill(0);
  q.type = v.V4L2_BUF_TYPE_VIDEO_CAPTURE;
  q["parm.capture.capability"] = v.V4L2_CAP_TIMEPERFRAME;
  q["parm.capture.timeperframe.numerator"] = numerator;
  q["parm.capture.timeperframe.denominator"] = denominator;
}

export const formatIoctls: readonly IoctlRow[] = [
  ioctlRow(v.VIDIOC_ENUM_FMT, (q, { node }) => {
    const { index, type } = q;
    checkType(type);
    const format = node.source.offers[index];
    check(format !== undefined, "there are fewer formats");
    q.$bytes.fill(0);
    q.index = index;
    q.type = type;
    q.flags = pixelFormat(format.pixelformat) === undefined ? v.V4L2_FMT_FLAG_COMPRESSED : 0;
    q.description = format.description;
    q.pixelformat = format.pixelformat;
  }),
  ioctlRow(v.VIDIOC_G_FMT, (q, { node }) => {
    checkType(q.type);
    answerFormat(q, node.mode);
  }),
  ioctlRow(v.VIDIOC_TRY_FMT, (q, { node }) => answerFormat(q, wished(q, node.source.offers))),
  ioctlRow(v.VIDIOC_S_FMT, (q, { node }) => {
    const mode = wished(q, node.source.offers);
    node.setMode(mode);
    answerFormat(q, mode);
  }),
  ioctlRow(v.VIDIOC_ENUM_FRAMESIZES, (q, { node }) => {
    const { index, pixel_format } = q;
    const size = offered(node.source.offers, pixel_format).sizes[index];
    check(size !== undefined, "there are fewer sizes");
    q.$bytes.fill(0);
    q.index = index;
    q.pixel_format = pixel_format;
    q.type = v.V4L2_FRMSIZE_TYPE_DISCRETE;
    q["discrete.width"] = size.width;
    q["discrete.height"] = size.height;
  }),
  ioctlRow(v.VIDIOC_ENUM_FRAMEINTERVALS, (q, { node }) => {
    const { index, pixel_format, width, height } = q;
    const size = offered(node.source.offers, pixel_format).sizes.find(
      (one) => one.width === width && one.height === height,
    );
    check(size !== undefined, "the size is not offered");
    const interval = size.intervals[index];
    check(interval !== undefined, "there are fewer rates");
    q.$bytes.fill(0);
    q.index = index;
    q.pixel_format = pixel_format;
    q.width = width;
    q.height = height;
    q.type = v.V4L2_FRMIVAL_TYPE_DISCRETE;
    q["discrete.numerator"] = interval.numerator;
    q["discrete.denominator"] = interval.denominator;
  }),
  ioctlRow(v.VIDIOC_G_PARM, (q, { node }) => {
    checkType(q.type);
    answerParm(q, node.interval);
  }),
  ioctlRow(v.VIDIOC_S_PARM, (q, { node }) => {
    checkType(q.type);
    const numerator = q["parm.capture.timeperframe.numerator"];
    const denominator = q["parm.capture.timeperframe.denominator"];
    const interval = nearestInterval(node.mode.size, { numerator, denominator });
    node.changeInterval(interval);
    answerParm(q, interval);
  }),
];
