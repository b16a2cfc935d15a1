// A v4l2loopback node without a kernel, as it was met in versions 0.13.2 and 0.15.0: flags that change with the writer,
// S_FMT that succeeds and keeps the old format, a write() that cuts, an event that counts readers. It cannot show tearing.
import { Signal } from "../../ffi/epoll.ts";
import { errno } from "../../ffi/errno.ts";
import type { Ioctl } from "../../ffi/ioctl.ts";
import { viewOf } from "../../ffi/libc.ts";
import { V4L2_EVENT_PRI_CLIENT_USAGE } from "../../ffi/linux/v4l2loopback.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import type { Mapping } from "../../ffi/mapping.ts";
import type { Fields, Struct } from "../../ffi/struct.ts";
import { pixelFormat } from "../../src/format/formats.ts";
import { pictureBytes } from "../../src/format/picture-layout.ts";
import type { OutputNode } from "../../src/v4l2/output-device.ts";

interface Format {
  readonly width: number;
  readonly height: number;
  readonly pixelformat: number;
  readonly sizeimage: number;
}

/** The device that the files of a node share. */
export class FakeLoopback {
  readonly path = "/dev/video10";
  /** exclusive_caps=1: OUTPUT without a writer, CAPTURE with one. */
  exclusive = true;
  /** sizeimage is rounded up to pages, as 0.13.2 does. */
  rounded = false;
  /** The driver has the event that counts readers. */
  counts = true;
  /** Errnos by the names of calls that fail. */
  readonly faults = new Map<string, number>();
  /** Copies of the pictures that were written. */
  readonly pictures: Uint8Array[] = [];
  /** When each of them was written, in ms. */
  readonly times: number[] = [];
  format: Format | undefined;
  rate: number | undefined;
  readers = 0;
  writer: FakeLoopbackFile | undefined;
  readonly files = new Set<FakeLoopbackFile>();

  open = (): FakeLoopbackFile => new FakeLoopbackFile(this);

  /** A program starts or stops to read. */
  setReaders(count: number): void {
    this.readers = count;
    for (const file of this.files) file.raise(count);
  }

  /** The newest picture. */
  get last(): Uint8Array {
    return this.pictures.at(-1) ?? new Uint8Array(0);
  }
}

export class FakeLoopbackFile implements OutputNode {
  readonly path: string;
  readonly #device: FakeLoopback;
  readonly #signal = new Signal(false);
  readonly #events: number[] = [];
  #subscribed = false;
  #open = true;

  constructor(device: FakeLoopback) {
    this.#device = device;
    this.path = device.path;
    device.files.add(this);
  }

  get fd(): number {
    return this.#signal.fd;
  }
  get open(): boolean {
    return this.#open;
  }

  raise(count: number): void {
    if (this.#subscribed) this.#events.push(count);
  }

  map(): Mapping {
    throw new Error("the fake has no buffers to map");
  }

  write(address: number, length: number): number {
    const device = this.#device;
    const fault = device.faults.get("write");
    if (fault !== undefined) return -fault;
    if (device.writer !== undefined && device.writer !== this) return -errno.EBUSY;
    device.writer = this;
    const taken = Math.min(length, device.format?.sizeimage ?? 0);
    device.times.push(performance.now());
    device.pictures.push(new Uint8Array(viewOf(address, taken)));
    return taken;
  }

  ioctl<F extends Fields>(request: Ioctl<F>, argument: Struct<F>): number {
    const fault = this.#device.faults.get(request.name);
    if (fault !== undefined) return -fault;
    // biome-ignore lint/suspicious/noExplicitAny: each handler knows the struct of its ioctl
    const handler: ((q: any) => number) | undefined = this.#handlers[request.name];
    return handler?.(argument) ?? -errno.ENOTTY;
  }

  // biome-ignore lint/suspicious/noExplicitAny: each handler knows the struct of its ioctl
  readonly #handlers: Record<string, (q: any) => number> = {
    VIDIOC_QUERYCAP: (q: Struct<typeof v.v4l2Capability.fields>) => {
      const { exclusive, writer } = this.#device;
      const output = !exclusive || writer === undefined ? v.V4L2_CAP_VIDEO_OUTPUT : 0;
      const capture = !exclusive || writer !== undefined ? v.V4L2_CAP_VIDEO_CAPTURE : 0;
      const text = new TextEncoder();
      text.encodeInto("v4l2 loopback", q.$bytes);
      text.encodeInto("guest A", q.$bytes.subarray(16));
      q.device_caps = (output | capture | v.V4L2_CAP_STREAMING | v.V4L2_CAP_READWRITE) >>> 0;
      q.capabilities = (q.device_caps | v.V4L2_CAP_DEVICE_CAPS) >>> 0;
      return 0;
    },
    VIDIOC_S_FMT: (q: Struct<typeof v.v4l2Format.fields>) => {
      const device = this.#device;
      if (q.type !== v.V4L2_BUF_TYPE_VIDEO_OUTPUT) return -errno.EINVAL;
      if (device.writer === this) return -errno.EBUSY;
      if (device.writer !== undefined) return -errno.EINVAL;
      const { "fmt.pix.width": width, "fmt.pix.height": height } = q;
      const pixelformat = q["fmt.pix.pixelformat"];
      const row = pixelFormat(pixelformat);
      const exact = row ? pictureBytes(row, width, height) : q["fmt.pix.sizeimage"];
      const sizeimage = device.rounded ? Math.ceil(exact / 4096) * 4096 : exact;
      if (device.readers === 0 || device.format === undefined)
        device.format = { width, height, pixelformat, sizeimage };
      q["fmt.pix.width"] = device.format.width;
      q["fmt.pix.height"] = device.format.height;
      q["fmt.pix.pixelformat"] = device.format.pixelformat;
      q["fmt.pix.sizeimage"] = device.format.sizeimage;
      q["fmt.pix.bytesperline"] = 0;
      return 0;
    },
    VIDIOC_S_PARM: (q: Struct<typeof v.v4l2Streamparm.fields>) => {
      const seconds = q["parm.output.timeperframe.numerator"];
      this.#device.rate = q["parm.output.timeperframe.denominator"] / seconds;
      return 0;
    },
    VIDIOC_SUBSCRIBE_EVENT: (q: Struct<typeof v.v4l2EventSubscription.fields>) => {
      if (!this.#device.counts || q.type !== V4L2_EVENT_PRI_CLIENT_USAGE) return -errno.EINVAL;
      this.#subscribed = true;
      if ((q.flags & v.V4L2_EVENT_SUB_FL_SEND_INITIAL) !== 0) this.raise(this.#device.readers);
      return 0;
    },
    VIDIOC_DQEVENT: (q: Struct<typeof v.v4l2Event.fields>) => {
      const count = this.#events.shift();
      if (count === undefined) return -errno.ENOENT;
      q.type = V4L2_EVENT_PRI_CLIENT_USAGE;
      q["u.src_change.changes"] = count;
      return 0;
    },
  };

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.#device.files.delete(this);
    if (this.#device.writer === this) this.#device.writer = undefined;
    this.#signal[Symbol.dispose]();
  }
}
