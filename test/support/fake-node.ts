// A V4L2 node without a kernel that answers what it is asked: capabilities, formats, sizes, rates, controls. It does not
// stream. `vivid`, `webcam` and `codec` answer as the drivers vivid, uvcvideo (a C920) and vicodec of Linux 6.12 do; the order
// and the errors are those of v4l2-ioctl.c and v4l2-ctrls-api.c. It cannot show what a driver does to its hardware.
import { errno } from "../../ffi/errno.ts";
import type { Ioctl } from "../../ffi/ioctl.ts";
import { viewOf } from "../../ffi/libc.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import type { Mapping } from "../../ffi/mapping.ts";
import type { Fields, Struct } from "../../ffi/struct.ts";
import { fourcc } from "../../src/format/formats.ts";
import type { VideoDevice } from "../../src/v4l2/device.ts";

export interface FakeSize {
  readonly size: readonly [number, number];
  /** Frame intervals, numerator and denominator. */
  readonly intervals?: readonly (readonly [number, number])[];
}
export interface FakeFormat {
  readonly name: string;
  readonly description: string;
  readonly compressed?: boolean;
  /** Single sizes; or one range: smallest, largest, step. */
  readonly sizes?: readonly FakeSize[] | { readonly range: readonly number[] };
}
export interface FakeControl {
  readonly id: number;
  readonly name: string;
  readonly type: number;
  readonly min?: number | bigint;
  readonly max?: number | bigint;
  readonly step?: number;
  readonly default?: number | bigint;
  readonly flags?: number;
  value?: number | bigint | string;
  /** Entries of a menu; those that are left out answer EINVAL. */
  readonly menu?: Readonly<Record<number, string | bigint>>;
}
export interface FakeNodeOptions {
  readonly driver: string;
  readonly card: string;
  readonly bus: string;
  readonly flags: number;
  /** By V4L2_BUF_TYPE. */
  readonly formats?: Readonly<Record<number, readonly FakeFormat[]>>;
  readonly controls?: readonly FakeControl[];
  /** QUERY_EXT_CTRL answers ENOTTY, as before Linux 3.17. */
  readonly old?: boolean;
}

// biome-ignore lint/suspicious/noExplicitAny: each handler knows the struct of its ioctl
type Handler = (argument: any) => number;

export class FakeNode implements VideoDevice {
  readonly path: string;
  readonly fd = -1;
  readonly options: FakeNodeOptions;
  closed = false;
  /** How often each ioctl was called. */
  readonly calls = new Map<string, number>();
  /** Handlers of a test, which replace the node's own. */
  readonly instead = new Map<string, Handler>();

  constructor(options: FakeNodeOptions, path = "/dev/video0") {
    this.options = options;
    this.path = path;
  }

  /** Replaces the answer to one ioctl. */
  answer<F extends Fields>(request: Ioctl<F>, handler: (argument: Struct<F>) => number): this {
    this.instead.set(request.name, handler as Handler);
    return this;
  }

  map(): Mapping {
    throw new Error("a fake node has no buffers");
  }

  ioctl<F extends Fields>(request: Ioctl<F>, argument: Struct<F>): number {
    if (this.closed) throw new Error(`${request.name} after close`);
    this.calls.set(request.name, (this.calls.get(request.name) ?? 0) + 1);
    const handler = this.instead.get(request.name) ?? this.#handlers[request.name];
    return handler?.(argument) ?? -errno.ENOTTY;
  }

  /** The calls of all ioctls together. */
  get total(): number {
    return [...this.calls.values()].reduce((sum, count) => sum + count, 0);
  }

  control(name: string): FakeControl {
    const found = this.options.controls?.find((one) => one.name === name);
    if (found === undefined) throw new Error(`no control ${name}`);
    return found;
  }

  readonly #handlers: Readonly<Record<string, Handler>> = {
    VIDIOC_QUERYCAP: (q: Struct<typeof v.v4l2Capability.fields>) => {
      const { driver, card, bus, flags } = this.options;
      put(q.$bytes, 0, 16, driver);
      put(q.$bytes, 16, 32, card);
      put(q.$bytes, 48, 32, bus);
      q.device_caps = flags;
      q.capabilities = (flags | v.V4L2_CAP_DEVICE_CAPS) >>> 0;
      return 0;
    },
    VIDIOC_ENUM_FMT: (q: Struct<typeof v.v4l2Fmtdesc.fields>) => {
      const format = this.options.formats?.[q.type]?.[q.index];
      if (format === undefined) return -errno.EINVAL;
      put(q.$bytes, 12, 32, format.description);
      q.pixelformat = fourcc(format.name);
      q.flags = format.compressed ? v.V4L2_FMT_FLAG_COMPRESSED : 0;
      return 0;
    },
    VIDIOC_ENUM_FRAMESIZES: (q: Struct<typeof v.v4l2Frmsizeenum.fields>) => {
      const sizes = this.#format(q.pixel_format)?.sizes;
      if (sizes === undefined) return -errno.ENOTTY;
      if ("range" in sizes) {
        if (q.index > 0) return -errno.EINVAL;
        const [w0 = 0, h0 = 0, w1 = 0, h1 = 0, step = 1] = sizes.range;
        q.type = 3;
        Object.assign(q, { "stepwise.min_width": w0, "stepwise.max_width": w1 });
        Object.assign(q, { "stepwise.min_height": h0, "stepwise.max_height": h1 });
        Object.assign(q, { "stepwise.step_width": step, "stepwise.step_height": step });
        return 0;
      }
      const one = sizes[q.index];
      if (one === undefined) return -errno.EINVAL;
      q.type = v.V4L2_FRMSIZE_TYPE_DISCRETE;
      [q["discrete.width"], q["discrete.height"]] = one.size;
      return 0;
    },
    VIDIOC_ENUM_FRAMEINTERVALS: (q: Struct<typeof v.v4l2Frmivalenum.fields>) => {
      const sizes = this.#format(q.pixel_format)?.sizes;
      if (sizes === undefined || "range" in sizes) return -errno.EINVAL;
      const one = sizes.find(({ size: [w, h] }) => w === q.width && h === q.height);
      const interval = one?.intervals?.[q.index];
      if (interval === undefined) return -errno.EINVAL;
      q.type = v.V4L2_FRMIVAL_TYPE_DISCRETE;
      [q["discrete.numerator"], q["discrete.denominator"]] = interval;
      return 0;
    },
    VIDIOC_QUERY_EXT_CTRL: (q: Struct<typeof v.v4l2QueryExtCtrl.fields>) => {
      if (this.options.old) return -errno.ENOTTY;
      const one = this.#next(q.id, true);
      if (one === undefined) return -errno.EINVAL;
      q.minimum = BigInt(one.min ?? 0);
      q.maximum = BigInt(one.max ?? 0);
      q.step = BigInt(one.step ?? 1);
      q.default_value = BigInt(one.default ?? 0);
      return describe(q, one);
    },
    VIDIOC_QUERYCTRL: (q: Struct<typeof v.v4l2Queryctrl.fields>) => {
      const one = this.#next(q.id, false);
      if (one === undefined) return -errno.EINVAL;
      q.minimum = Number(one.min ?? 0);
      q.maximum = Number(one.max ?? 0);
      q.step = one.step ?? 1;
      q.default_value = Number(one.default ?? 0);
      return describe(q, one);
    },
    VIDIOC_QUERYMENU: (q: Struct<typeof v.v4l2Querymenu.fields>) => {
      const item = this.#byId(q.id)?.menu?.[q.index];
      if (item === undefined) return -errno.EINVAL;
      if (typeof item === "bigint") q.value = item;
      else put(q.$bytes, 8, 32, item);
      return 0;
    },
    VIDIOC_G_CTRL: (q: Struct<typeof v.v4l2Control.fields>) => {
      const one = this.#byId(q.id);
      if (one === undefined || typeof one.value !== "number") return -errno.EINVAL;
      q.value = one.value | 0;
      return 0;
    },
    VIDIOC_S_CTRL: (q: Struct<typeof v.v4l2Control.fields>) => {
      const one = this.#byId(q.id);
      if (one === undefined) return -errno.EINVAL;
      if (((one.flags ?? 0) & v.V4L2_CTRL_FLAG_READ_ONLY) !== 0) return -errno.EACCES;
      if (((one.flags ?? 0) & v.V4L2_CTRL_FLAG_GRABBED) !== 0) return -errno.EBUSY;
      const step = one.step ?? 1;
      const min = Number(one.min ?? 0);
      // v4l2-ctrls-core.c: an integer is rounded to the nearest step.
      const rounds = one.type === v.V4L2_CTRL_TYPE_INTEGER && step > 1;
      one.value = rounds ? min + Math.round((q.value - min) / step) * step : q.value;
      return 0;
    },
    VIDIOC_G_EXT_CTRLS: (q: Struct<typeof v.v4l2ExtControls.fields>) =>
      this.#extended(q, (one, control) => {
        if (typeof control.value === "bigint") one.value64 = control.value;
        else put(viewOf(one.string, one.size), 0, one.size, `${control.value}`);
      }),
    VIDIOC_S_EXT_CTRLS: (q: Struct<typeof v.v4l2ExtControls.fields>) =>
      this.#extended(q, (one, control) => {
        if (typeof control.value === "bigint") control.value = one.value64;
        else {
          const bytes = viewOf(one.string, one.size);
          control.value = new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
        }
      }),
  };

  #format(code: number): FakeFormat | undefined {
    return Object.values(this.options.formats ?? {})
      .flat()
      .find(({ name }) => fourcc(name) === code);
  }

  #byId(id: number): FakeControl | undefined {
    return this.options.controls?.find((one) => one.id === id);
  }

  #next(asked: number, compound: boolean): FakeControl | undefined {
    const id = asked & 0x0fff_ffff;
    if ((asked & v.V4L2_CTRL_FLAG_NEXT_CTRL) === 0) return this.#byId(id);
    return this.options.controls?.find((one) => one.id > id && (compound || one.type < 0x100));
  }

  #extended(
    all: Struct<typeof v.v4l2ExtControls.fields>,
    action: (one: Struct<typeof v.v4l2ExtControl.fields>, control: FakeControl) => void,
  ): number {
    if (all.count !== 1) return -errno.EINVAL;
    const one = v.v4l2ExtControl.over(viewOf(all.controls, v.v4l2ExtControl.size));
    const control = this.#byId(one.id);
    if (control === undefined || all.which !== (one.id & 0x0fff_0000)) return -errno.EINVAL;
    action(one, control);
    return 0;
  }

  [Symbol.dispose](): void {
    this.closed = true;
  }
}

/** Writes text into a field of `length` bytes; without a NUL when it fills the field. */
function put(bytes: Uint8Array<ArrayBuffer>, at: number, length: number, text: string): void {
  bytes.fill(0, at, at + length);
  new TextEncoder().encodeInto(text, bytes.subarray(at, at + length));
}

function describe(
  q: { id: number; type: number; flags: number; readonly $bytes: Uint8Array<ArrayBuffer> },
  one: FakeControl,
): number {
  q.id = one.id;
  q.type = one.type;
  q.flags = one.flags ?? 0;
  put(q.$bytes, 8, 32, one.name);
  return 0;
}

const capture = v.V4L2_BUF_TYPE_VIDEO_CAPTURE;
const output = v.V4L2_BUF_TYPE_VIDEO_OUTPUT;
const streaming = v.V4L2_CAP_STREAMING;

const rates = (...fps: number[]) => fps.map((each) => [1, each] as const);
const webcamSizes = (...fps: number[]): readonly FakeSize[] => [
  { size: [640, 480], intervals: rates(...fps) },
  { size: [1280, 720], intervals: rates(10, 5) },
  { size: [320, 240], intervals: rates(...fps) },
];

/** As uvcvideo answers for a Logitech C920. Its exposure is inactive while it is automatic. */
export const webcam = (): FakeNodeOptions => ({
  driver: "uvcvideo",
  card: "HD Pro Webcam C920",
  bus: "usb-0000:00:14.0-1",
  flags: (v.V4L2_CAP_VIDEO_CAPTURE | streaming) >>> 0,
  formats: {
    [capture]: [
      { name: "YUYV", description: "YUYV 4:2:2", sizes: webcamSizes(30, 24, 15) },
      {
        name: "MJPG",
        description: "Motion-JPEG",
        compressed: true,
        sizes: webcamSizes(30, 24, 15),
      },
      {
        name: "H264",
        description: "H.264",
        compressed: true,
        sizes: [{ size: [1920, 1080], intervals: [[1001, 30000]] }],
      },
    ],
  },
  controls: [
    { id: 0x980001, name: "User Controls", type: v.V4L2_CTRL_TYPE_CTRL_CLASS, flags: 0x44 },
    { id: 0x980900, name: "Brightness", type: 1, max: 255, default: 128, value: 128 },
    { id: 0x98090c, name: "White Balance, Automatic", type: 2, max: 1, default: 1, value: 1 },
    {
      ...{ id: 0x980918, name: "Power Line Frequency", type: 3, max: 2, default: 2, value: 2 },
      menu: { 0: "Disabled", 1: "50 Hz", 2: "60 Hz" },
    },
    { id: 0x98091a, name: "White Balance Temperature", type: 1, min: 2000, max: 6500, value: 4000 },
    { id: 0x9a0001, name: "Camera Controls", type: v.V4L2_CTRL_TYPE_CTRL_CLASS, flags: 0x44 },
    {
      ...{ id: 0x9a0901, name: "Auto Exposure", type: 3, max: 3, default: 3, value: 3 },
      menu: { 1: "Manual Mode", 3: "Aperture Priority Mode" },
    },
    {
      ...{ id: 0x9a0902, name: "Exposure Time, Absolute", type: 1, min: 3, max: 2047 },
      ...{ default: 250, value: 250, flags: v.V4L2_CTRL_FLAG_INACTIVE },
    },
    {
      ...{ id: 0x9a090a, name: "Focus, Absolute", type: 1, max: 250, step: 5, value: 0 },
    },
  ],
});

/** As vivid answers, with one control of each type. */
export const vivid = (): FakeNodeOptions => ({
  driver: "vivid",
  card: "vivid",
  bus: "platform:vivid-000",
  flags: (v.V4L2_CAP_VIDEO_CAPTURE | v.V4L2_CAP_READWRITE | streaming) >>> 0,
  formats: {
    [capture]: ["YUYV", "UYVY", "NV12"].map((name) => ({
      name,
      description: name,
      sizes: [{ size: [320, 180], intervals: rates(5, 10, 30) }],
    })),
  },
  controls: [
    { id: 0x98f900, name: "Button", type: v.V4L2_CTRL_TYPE_BUTTON, flags: 0x240 },
    { id: 0x98f901, name: "Boolean", type: 2, max: 1, default: 1, value: 1 },
    {
      ...{ id: 0x98f902, name: "Integer 64 Bits", type: 5, value: 0n },
      ...{ min: -(2n ** 63n), max: 2n ** 63n - 1n },
    },
    {
      ...{ id: 0x98f903, name: "Menu", type: 3, min: 1, max: 4, default: 3, value: 3 },
      menu: { 1: "Menu Item 1", 3: "Menu Item 3", 4: "Menu Item 4" },
    },
    {
      ...{ id: 0x98f904, name: "String", type: 7, min: 2, max: 4, value: "abc" },
      flags: v.V4L2_CTRL_FLAG_HAS_PAYLOAD,
    },
    {
      ...{ id: 0x98f905, name: "Bitmask", type: 8, max: 0x80002000 | 0 },
      ...{ default: 0x80002000 | 0, value: 0x80002000 | 0 },
    },
    {
      ...{ id: 0x98f906, name: "Integer Menu", type: 9, min: 1, max: 3, default: 2, value: 2 },
      menu: { 1: 1n, 2: -42n, 3: 2n ** 40n },
    },
    {
      ...{ id: 0x98f907, name: "U32 1 Element Array", type: 0x102, max: 0x7fffffff },
      flags: v.V4L2_CTRL_FLAG_HAS_PAYLOAD,
    },
    {
      ...{ id: 0x98f908, name: "Read-Only Integer", type: 1, max: 255, value: 0 },
      flags: v.V4L2_CTRL_FLAG_READ_ONLY,
    },
    { id: 0x98f909, name: "Hidden", type: 1, flags: v.V4L2_CTRL_FLAG_DISABLED },
  ],
});

/** As vivid's output node answers. */
export const sink = (): FakeNodeOptions => ({
  ...vivid(),
  flags: (v.V4L2_CAP_VIDEO_OUTPUT | streaming) >>> 0,
  formats: { [output]: [{ name: "YUYV", description: "YUYV 4:2:2" }] },
  controls: [],
});

const raw = [
  ["YU12", "Planar YUV 4:2:0"],
  ["NV12", "Y/UV 4:2:0"],
].map(([name = "", description = ""]) => ({
  name,
  description,
  sizes: { range: [640, 360, 4096, 2160, 8] },
}));
const fwht = (name: string) => ({
  name,
  description: name === "SFWH" ? "FWHT Stateless" : "FWHT",
  compressed: true,
  sizes: { range: [640, 360, 4096, 2160, 8] },
});

/** As one of the three nodes of vicodec answers. */
export const codec = (kind: "encoder" | "decoder" | "stateless decoder"): FakeNodeOptions => ({
  driver: "vicodec",
  card: "vicodec",
  bus: "platform:vicodec",
  flags: (v.V4L2_CAP_VIDEO_M2M | streaming) >>> 0,
  formats:
    kind === "encoder"
      ? { [output]: raw, [capture]: [fwht("FWHT")] }
      : { [output]: [fwht(kind === "decoder" ? "FWHT" : "SFWH")], [capture]: raw },
});
