// A V4L2 node looked at as a stateful decoder: is it one, and what can it decode to what? dev-decoder.rst, "Querying
// capabilities".
import { statSync } from "node:fs";
import { SysError } from "../../../ffi/errno.ts";
import { Fd, O_NONBLOCK, O_RDWR } from "../../../ffi/fd.ts";
import { ioctl } from "../../../ffi/ioctl.ts";
import * as v from "../../../ffi/linux/videodev2.ts";
import { Mapping } from "../../../ffi/mapping.ts";
import { needed, UnavailableError } from "../../errors.ts";
import { fourccName } from "../../format/formats.ts";
import type { VideoDevice } from "../../v4l2/device.ts";
import { type Api, multiPlanar, setFormat, singlePlanar } from "../../v4l2/format.ts";
import { type VideoFormat, videoFormatOf } from "../formats.ts";
import type { Capabilities, FormatCapability, FrameSizes } from "./codec.ts";

export interface DecoderDevice {
  readonly card: string;
  readonly api: Api;
  readonly capabilities: Capabilities;
}

const advice: Record<string, string> = {
  ENOENT: "name a decoder with --v4l2-device (v4l2-ctl --list-devices shows them)",
  EACCES: "add yourself to the group video, or run as root",
  EPERM: "add yourself to the group video, or run as root",
  ENXIO: "no driver serves this node; load it or name another with --v4l2-device",
  ENODEV: "no driver serves this node; load it or name another with --v4l2-device",
};
/** Sizes assumed where a driver tells none. */
const anySize: FrameSizes = {
  width: { min: 16, max: 4096, step: 1 },
  height: { min: 16, max: 4096, step: 1 },
};
/** No real driver lists so many; a broken one might not stop. */
const MOST = 256;

/** Opens a device node as a fresh decoding context. Throws SysError. */
export function openDecoderNode(path: string): VideoDevice {
  const fd = Fd.open(path, O_RDWR | O_NONBLOCK);
  return {
    path,
    get fd() {
      return fd.number;
    },
    ioctl: (request, argument) => ioctl(fd.number, request, argument),
    map: (length, offset) => new Mapping(fd.number, length, path, undefined, offset),
    [Symbol.dispose]: () => fd[Symbol.dispose](),
  };
}

/** The same for the first time, with what a person can do about it. Throws UnavailableError. */
export function openCheckedNode(path: string): VideoDevice {
  const known = statSync(path, { throwIfNoEntry: false });
  if (known !== undefined && !known.isCharacterDevice())
    throw new UnavailableError(`open ${path}: not a device; name a decoder with --v4l2-device`);
  return needed(
    () => openDecoderNode(path),
    ({ code }) => advice[code] ?? "",
  );
}

/** Asks a node what it is. Throws UnavailableError unless it is a decoder that can be served. */
export function examine(device: VideoDevice): DecoderDevice {
  const { path } = device;
  const refuse = (what: string): never => {
    throw new UnavailableError(
      `${path}: ${what}; name a decoder with --v4l2-device (v4l2-ctl --list-devices shows them)`,
    );
  };
  const capability = v.v4l2Capability.alloc();
  const r = device.ioctl(v.VIDIOC_QUERYCAP, capability);
  if (r < 0) refuse(`${new SysError("VIDIOC_QUERYCAP", path, -r).message}, not a video device`);
  const own = (capability.capabilities & v.V4L2_CAP_DEVICE_CAPS) !== 0;
  const caps = own ? capability.device_caps : capability.capabilities;
  const api =
    (caps & v.V4L2_CAP_VIDEO_M2M_MPLANE) !== 0
      ? multiPlanar
      : (caps & v.V4L2_CAP_VIDEO_M2M) !== 0
        ? singlePlanar
        : refuse(`${capability.card} is not a memory-to-memory decoder`);
  if ((caps & v.V4L2_CAP_STREAMING) === 0) refuse(`${capability.card} cannot stream`);
  const listed = formatsOf(device, api.bitstream);
  const coded = known(listed).filter(({ format }) => format.coded);
  if (coded.length === 0) {
    const names = listed.map(({ fourcc }) => fourccName(fourcc)).join(", ") || "nothing";
    refuse(`${capability.card} decodes ${names}, no format a guest can be offered`);
  }
  const pairs = coded.map(({ format, fourcc }) => {
    setFormat(device, api.bitstream, { fourcc, width: 0, height: 0, sizeimage: 0 });
    const raw = known(formatsOf(device, api.pictures)).filter(({ format: f }) => !f.coded);
    return { format, fourcc, raw };
  });
  const raws = [...new Map(pairs.flatMap(({ raw }) => raw.map((f) => [f.format, f])))];
  if (raws.length === 0) refuse(`${capability.card} makes no pictures a guest can be offered`);
  return {
    card: capability.card,
    api,
    capabilities: capabilitiesOf(
      device,
      pairs,
      raws.map(([format, { fourcc }]) => ({ format, fourcc })),
    ),
  };
}

interface Known {
  readonly format: VideoFormat;
  readonly fourcc: number;
}

function capabilitiesOf(
  device: VideoDevice,
  pairs: readonly (Known & { readonly raw: readonly Known[] })[],
  raws: readonly Known[],
): Capabilities {
  const mask = (bits: readonly boolean[]) =>
    bits.slice(0, 64).reduce((sum, bit, i) => (bit ? sum | (1n << BigInt(i)) : sum), 0n);
  const input = pairs.map(
    ({ format, fourcc, raw }): FormatCapability => ({
      format: format.number,
      sizes: frameSizes(device, fourcc) ?? [anySize],
      mask: mask(raws.map((r) => raw.some((f) => f.format === r.format))),
    }),
  );
  const output = raws.map(
    ({ format, fourcc }): FormatCapability => ({
      format: format.number,
      sizes: frameSizes(device, fourcc) ?? input[0]?.sizes ?? [anySize],
      mask: mask(pairs.map(({ raw }) => raw.some((f) => f.format === format))),
    }),
  );
  return { input, output };
}

/** The formats of a list that virtio-video has numbers for, each once; whole pictures before split ones. */
function known(listed: readonly { readonly fourcc: number }[]): readonly Known[] {
  const found = listed.flatMap(({ fourcc }) => {
    const format = videoFormatOf(fourcc);
    return format === undefined ? [] : [{ format, fourcc }];
  });
  return found.filter(
    ({ format, fourcc }, i) =>
      (fourcc === format.fourcc || !found.some((f) => f.fourcc === format.fourcc)) &&
      found.findIndex((f) => f.format === format && f.fourcc === fourcc) === i,
  );
}

function formatsOf(device: VideoDevice, type: number): readonly { readonly fourcc: number }[] {
  const found: { fourcc: number }[] = [];
  for (let index = 0; index < MOST; index++) {
    const desc = v.v4l2Fmtdesc.alloc();
    desc.index = index;
    desc.type = type;
    if (device.ioctl(v.VIDIOC_ENUM_FMT, desc) < 0) break;
    found.push({ fourcc: desc.pixelformat });
  }
  return found;
}

/** The sizes of a format. Ranges are told with step 1 whatever the driver's: guests call them continuous. */
function frameSizes(device: VideoDevice, fourcc: number): readonly FrameSizes[] | undefined {
  const found: FrameSizes[] = [];
  for (let index = 0; index < MOST; index++) {
    const size = v.v4l2Frmsizeenum.alloc();
    size.index = index;
    size.pixel_format = fourcc;
    if (device.ioctl(v.VIDIOC_ENUM_FRAMESIZES, size) < 0) break;
    if (size.type !== v.V4L2_FRMSIZE_TYPE_DISCRETE) {
      const range = (min: number, max: number) => ({ min, max: Math.max(min, max), step: 1 });
      return [
        {
          width: range(size["stepwise.min_width"], size["stepwise.max_width"]),
          height: range(size["stepwise.min_height"], size["stepwise.max_height"]),
        },
      ];
    }
    const one = (value: number) => ({ min: value, max: value, step: 1 });
    found.push({ width: one(size["discrete.width"]), height: one(size["discrete.height"]) });
  }
  return found.length === 0 ? undefined : found;
}
