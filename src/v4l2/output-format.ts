// The format of a node that shows pictures: S_FMT, and how a picture lies in the node's memory afterwards.
import { SysError } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { UnavailableError } from "../errors.ts";
import { fourccName, pixelFormat } from "../format/formats.ts";
import {
  layoutOf,
  type PictureFormat,
  type PlaneLayout,
  type TargetFormat,
} from "../format/picture-layout.ts";
import { deviceAdvice, type VideoDevice } from "./device.ts";
import { type QueueFormat, setFormat, strideOf } from "./format.ts";
import type { OutputDevice } from "./output-device.ts";

/** The format that a node has now, and where the parts of a picture are. */
export interface NodeFormat extends TargetFormat {
  /** The bytes of a picture in each memory plane of the node; the sum is `bytes`. */
  readonly memory: readonly number[];
  /** The bytes of each memory plane, at least those of `memory`. */
  readonly sizes: readonly number[];
  /** Whether rows have no padding, so that a picture as it is sent fits. */
  readonly tight: boolean;
}

/**
 * Sets the format. The answer is what the driver has, which may be another one although the call succeeded: v4l2loopback
 * keeps its format while a program reads, an HDMI output has the size of its timings. Throws UnavailableError.
 */
export function agreeOnNodeFormat(
  node: VideoDevice,
  { type, card }: OutputDevice,
  wish: PictureFormat & { readonly sizeimage: number },
): NodeFormat {
  const { width, height, pixelformat: fourcc, sizeimage } = wish;
  const compressed = pixelFormat(fourcc) === undefined;
  const answer = setFormat(node, type, {
    fourcc,
    width,
    height,
    planes: [{ sizeimage: compressed ? sizeimage : 0, bytesperline: 0 }],
    // As webcams say it: BT.601 and limited range (V4L2_MAP_YCBCR_ENC_DEFAULT), what format/colour.ts draws with.
    colorspace: compressed ? v.V4L2_COLORSPACE_JPEG : v.V4L2_COLORSPACE_SRGB,
  });
  if (typeof answer === "number") {
    const error = new SysError("VIDIOC_S_FMT", node.path, -answer);
    const busy = error.code === "EBUSY" || error.code === "EINVAL";
    const todo = busy
      ? `another program writes to ${card}, or it has no ${width}x${height} ${fourccName(fourcc)}`
      : deviceAdvice(error, "output");
    throw new UnavailableError(`${error.message}${todo && `; ${todo}`}`, { cause: error });
  }
  return nodeFormat(node.path, answer);
}

/** How pictures lie in a node with that answer of S_FMT. Throws UnavailableError when they do not fit. */
export function nodeFormat(path: string, answer: QueueFormat): NodeFormat {
  const { fourcc: pixelformat, width, height, planes: memoryPlanes } = answer;
  const format = pixelFormat(pixelformat);
  const broken = (what: string) =>
    new UnavailableError(
      `VIDIOC_S_FMT ${path}: the driver answered ${width}x${height} ${fourccName(pixelformat)} ${what}`,
    );
  if (width < 1 || height < 1 || memoryPlanes.length < 1) throw broken("without a picture");
  if (format === undefined) {
    if (memoryPlanes.length > 1) throw broken(`in ${memoryPlanes.length} memory planes`);
    const bytes = memoryPlanes[0]?.sizeimage ?? 0;
    return {
      width,
      height,
      pixelformat,
      planes: [],
      bytes,
      memory: [bytes],
      sizes: [bytes],
      tight: true,
    };
  }
  const separate = memoryPlanes.length > 1;
  const least = layoutOf(format, width, height);
  if (separate && memoryPlanes.length !== least.length)
    throw broken(`in ${memoryPlanes.length} memory planes, it has ${least.length}`);
  const memory = new Array<number>(memoryPlanes.length).fill(0);
  const planes: PlaneLayout[] = [];
  let offset = 0;
  for (const [i, { rowBytes, rows }] of least.entries()) {
    const pitch = separate ? (memoryPlanes[i]?.bytesperline ?? 0) : strideOf(answer, format, i);
    const stride = Math.max(rowBytes, pitch);
    planes.push({ offset, rowBytes: stride, rows });
    offset += stride * rows;
    memory[separate ? i : 0] = (memory[separate ? i : 0] ?? 0) + stride * rows;
  }
  const fits = memory.every((bytes, i) => bytes <= (memoryPlanes[i]?.sizeimage ?? 0));
  if (!fits) {
    const has = memoryPlanes.map(({ sizeimage }) => sizeimage).join(" + ");
    throw broken(`with ${has} bytes, a picture has ${memory.join(" + ")}`);
  }
  const tight = planes.every(({ rowBytes }, i) => rowBytes === least[i]?.rowBytes);
  const sizes = memoryPlanes.map(({ sizeimage }) => sizeimage);
  return { width, height, pixelformat, planes, bytes: offset, memory, sizes, tight };
}

/** S_PARM: tells the readers of a node how many pictures a second there are. False where the driver refuses. */
export function setNodeRate(node: VideoDevice, { type }: OutputDevice, fps: number): boolean {
  const parm = v.v4l2Streamparm.alloc();
  parm.type = type;
  parm["parm.output.timeperframe.numerator"] = 1000;
  parm["parm.output.timeperframe.denominator"] = Math.max(1, Math.round(fps * 1000));
  return node.ioctl(v.VIDIOC_S_PARM, parm) >= 0;
}
