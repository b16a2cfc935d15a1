// A V4L2 capture driver without a kernel: a VideoDevice over a memfd, with a handler per ioctl. It checks what a
// driver checks, writes a computable pattern into its buffers, and can be set to fail,
// to answer wrong values, to lose frames, to damage them, to be unplugged. It cannot show what a kernel does with mappings and DMA.
import { Signal } from "../../ffi/epoll.ts";
import { errno, must, SysError } from "../../ffi/errno.ts";
import { Fd, pwriteAt } from "../../ffi/fd.ts";
import type { Ioctl } from "../../ffi/ioctl.ts";
import { addressOf, viewOf } from "../../ffi/libc.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { Mapping } from "../../ffi/mapping.ts";
import type { Fields, Struct } from "../../ffi/struct.ts";
import { pixelFormat } from "../../src/format/formats.ts";
import { layoutOf } from "../../src/format/picture-layout.ts";
import type { VideoDevice } from "../../src/v4l2/device.ts";
import { mappingsOf } from "./resources.ts";

const PAGE = 4096;
/** Ioctls whose argument says for which buffer type it is. */
const typed = new Set(
  ["S_FMT", "G_PARM", "S_PARM", "REQBUFS", "QUERYBUF", "QBUF", "DQBUF", "EXPBUF"].map(
    (name) => `VIDIOC_${name}`,
  ),
);
/** The name of the driver's own memory in /proc/self/maps. */
export const DRIVER_MEMORY = "fake-camera";

/** The byte the driver writes at `offset` of a memory plane of picture `sequence`. */
export const patternByte = (sequence: number, plane: number, offset: number) =>
  (sequence * 13 + plane * 61 + offset * 7 + (offset >>> 8)) & 0xff;

/** One memory plane as the driver lays it out. */
export interface FakePlane {
  readonly sizeimage: number;
  readonly bytesperline: number;
}

export interface FakeOptions {
  readonly multiplanar?: boolean;
  /** What S_FMT answers; without it, a tight layout of the asked-for picture in one memory plane. */
  readonly planes?: readonly FakePlane[];
  /** How many buffers REQBUFS grants for an asked-for number. */
  readonly gives?: (asked: number) => number;
  /** Bytes of each buffer plane, when they are not sizeimage. */
  readonly planeLength?: number;
  /** Memory types that REQBUFS takes. */
  readonly memories?: readonly number[];
}

interface FakeBuffer {
  state: "idle" | "queued" | "filled";
  readonly planes: { offset: number; length: number; fd: number }[];
}

/** False answers of the driver about a filled buffer. */
export interface Lie {
  readonly flags?: number;
  readonly sequence?: number;
  readonly bytesused?: number;
  readonly dataOffset?: number;
  readonly index?: number;
}

type Filled = Lie & { readonly buffer: number; readonly stamp: number };

export class FakeCamera implements VideoDevice {
  readonly path = "/dev/video7";
  /** Every ioctl in order, with what matters of its argument: "REQBUFS 4 DMABUF", "QBUF 0". */
  readonly calls: string[] = [];
  readonly options: FakeOptions;
  planes: FakePlane[] = [];
  buffers: FakeBuffer[] = [];
  streaming = false;
  disposed = false;
  #memory: Fd | undefined;
  #memoryType = 0;
  #sequence = 0;
  readonly #queued: number[] = [];
  readonly #filled: Filled[] = [];
  readonly #events: number[] = [];
  readonly #ready = new Signal();
  readonly #handlers = new Map<number, (argument: Uint8Array<ArrayBuffer>) => number>();
  readonly #faults: { name: string; code: number; call: number | undefined }[] = [];
  readonly #amendments = new Map<number, (argument: Uint8Array<ArrayBuffer>) => void>();
  readonly #counts = new Map<string, number>();

  constructor(options: FakeOptions = {}) {
    this.options = options;
    const on = <F extends Fields>(of: Ioctl<F>, handle: (argument: Struct<F>) => number) =>
      this.#handlers.set(of.code, (bytes) => handle(of.argument.over(bytes)));
    on(v.VIDIOC_QUERYCAP, (caps) => this.#queryCap(caps));
    on(v.VIDIOC_S_FMT, (format) => this.#setFormat(format));
    on(v.VIDIOC_G_PARM, (parm) => rate(parm, 1, 25));
    on(v.VIDIOC_S_PARM, () => 0);
    on(v.VIDIOC_REQBUFS, (request) => this.#requestBuffers(request));
    on(v.VIDIOC_QUERYBUF, (buffer) => this.#queryBuffer(buffer));
    on(v.VIDIOC_QBUF, (buffer) => this.#queueBuffer(buffer));
    on(v.VIDIOC_DQBUF, (buffer) => this.#dequeueBuffer(buffer));
    on(v.VIDIOC_EXPBUF, (request) => {
      if (this.#memory === undefined) return -errno.EINVAL;
      request.fd = Fd.duplicate(this.#memory.number, "exported").number;
      return 0;
    });
    on(v.VIDIOC_STREAMON, () => {
      this.streaming = true;
      return 0;
    });
    on(v.VIDIOC_STREAMOFF, () => this.#streamOff());
    on(v.VIDIOC_SUBSCRIBE_EVENT, () => 0);
    on(v.VIDIOC_DQEVENT, (event) => {
      const type = this.#events.shift();
      if (type === undefined) return -errno.ENOENT;
      event.type = type;
      return 0;
    });
  }

  /** Every call of that name fails, or only call number `call` (the first is 1). */
  fail(name: string, code: number, call?: number): this {
    this.#faults.push({ name: `VIDIOC_${name}`, code, call });
    return this;
  }

  /** Adds an ioctl that the driver has not. */
  answer<F extends Fields>(of: Ioctl<F>, handle: (argument: Struct<F>) => number): this {
    this.#handlers.set(of.code, (bytes) => handle(of.argument.over(bytes)));
    return this;
  }

  /** Changes the driver's answer before the caller sees it. */
  amend<F extends Fields>(of: Ioctl<F>, change: (argument: Struct<F>) => void): this {
    this.#amendments.set(of.code, (bytes) => change(of.argument.over(bytes)));
    return this;
  }

  /** Raises an event. */
  event(type: number): void {
    this.#events.push(type);
    this.#ready.raise();
  }

  /** Fills the next queued buffer; answers the picture's number. Throws when no buffer is queued. */
  produce(lie: Lie = {}): number {
    const index = this.#queued.shift();
    const buffer = index === undefined ? undefined : this.buffers[index];
    if (index === undefined || buffer === undefined || !this.streaming) {
      throw new Error("the driver has no buffer to fill");
    }
    const stamp = this.#sequence++;
    for (const [plane, { offset, length, fd }] of buffer.planes.entries()) {
      const bytes = new Uint8Array(new ArrayBuffer(length));
      for (let i = 0; i < length; i++) bytes[i] = patternByte(stamp, plane, i);
      const into = this.#memoryType === v.V4L2_MEMORY_DMABUF ? fd : (this.#memory?.number ?? -1);
      must(pwriteAt(into, addressOf(bytes), length, offset), "pwrite", "buffer");
    }
    buffer.state = "filled";
    this.#filled.push({ buffer: index, stamp, ...lie });
    this.#ready.raise();
    return stamp;
  }

  /** Buffers the driver owns and has not filled. */
  get queued(): number {
    return this.#queued.length;
  }

  /** The calls of one name. */
  callsOf(name: string): string[] {
    return this.calls.filter((call) => call.split(" ")[0] === name);
  }

  get fd(): number {
    return this.#ready.fd;
  }

  ioctl<F extends Fields>(request: Ioctl<F>, argument: Struct<F>): number {
    if (this.disposed) throw new Error(`${request.name} after close`);
    const call = (this.#counts.get(request.name) ?? 0) + 1;
    this.#counts.set(request.name, call);
    this.calls.push(describe(request.name, argument as Record<string, unknown>));
    const fault = this.#faults.find(
      (f) => f.name === request.name && (f.call === undefined || f.call === call),
    );
    if (fault !== undefined) return -fault.code;
    const handle = this.#handlers.get(request.code);
    if (handle === undefined) return -errno.ENOTTY;
    // As the kernel does, and before anything follows m.planes: in the other type's struct that is a descriptor.
    const { type } = argument as { type?: unknown };
    if (typed.has(request.name) && type !== this.#type) return -errno.EINVAL;
    const r = handle(argument.$bytes);
    if (r >= 0) this.#amendments.get(request.code)?.(argument.$bytes);
    return r;
  }

  map(length: number, offset: number): Mapping {
    const planes = this.buffers.flatMap((buffer) => buffer.planes);
    const plane = planes.find((p) => p.offset === offset);
    if (plane === undefined || this.#memory === undefined || length > roundUp(plane.length)) {
      throw new SysError("mmap", this.path, errno.EINVAL);
    }
    return new Mapping(this.#memory.number, length, this.path, undefined, offset);
  }

  get #type(): number {
    return this.options.multiplanar
      ? v.V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE
      : v.V4L2_BUF_TYPE_VIDEO_CAPTURE;
  }

  #queryCap(caps: Struct<typeof v.v4l2Capability.fields>): number {
    const mplane = this.options.multiplanar === true;
    const capture = mplane ? v.V4L2_CAP_VIDEO_CAPTURE_MPLANE : v.V4L2_CAP_VIDEO_CAPTURE;
    caps.device_caps = (capture | v.V4L2_CAP_STREAMING) >>> 0;
    caps.capabilities = (caps.device_caps | v.V4L2_CAP_DEVICE_CAPS) >>> 0;
    new TextEncoder().encodeInto("fake camera", caps.$bytes.subarray(16, 48));
    return 0;
  }

  #setFormat(format: Struct<typeof v.v4l2Format.fields>): number {
    const known = pixelFormat(format["fmt.pix.pixelformat"]);
    const layout =
      known === undefined ? [] : layoutOf(known, format["fmt.pix.width"], format["fmt.pix.height"]);
    const sizeimage = layout.reduce((sum, plane) => sum + plane.rowBytes * plane.rows, 0);
    const tight = [{ sizeimage, bytesperline: layout[0]?.rowBytes ?? 0 }];
    this.planes = [...(this.options.planes ?? tight)];
    if (!this.options.multiplanar) {
      format["fmt.pix.sizeimage"] = this.planes[0]?.sizeimage ?? 0;
      format["fmt.pix.bytesperline"] = this.planes[0]?.bytesperline ?? 0;
      return 0;
    }
    format["fmt.pix_mp.num_planes"] = this.planes.length;
    for (const [i, plane] of this.planes.entries()) {
      const at = v.v4l2Format.fields["fmt.pix_mp.plane_fmt"].offset + i * v.v4l2PlanePixFormat.size;
      const row = v.v4l2PlanePixFormat.over(format.$bytes, at);
      row.sizeimage = plane.sizeimage;
      row.bytesperline = plane.bytesperline;
    }
    return 0;
  }

  #requestBuffers(request: Struct<typeof v.v4l2Requestbuffers.fields>): number {
    const { memories = [v.V4L2_MEMORY_MMAP, v.V4L2_MEMORY_DMABUF], gives } = this.options;
    if (!memories.includes(request.memory)) return -errno.EINVAL;
    if (this.#memory !== undefined && mappingsOf(DRIVER_MEMORY) > 0) return -errno.EBUSY;
    this.#streamOff();
    this.#memory?.[Symbol.dispose]();
    this.#memory = undefined;
    this.buffers = [];
    if (request.count === 0) return 0;
    if (gives !== undefined) request.count = gives(request.count);
    this.#memoryType = request.memory;
    const lengths = this.planes.map(({ sizeimage }) => this.options.planeLength ?? sizeimage);
    let end = 0;
    for (let i = 0; i < Math.min(request.count, 64); i++) {
      const planes = lengths.map((length) => {
        const offset = end;
        end += roundUp(Math.max(length, 1));
        return { offset: request.memory === v.V4L2_MEMORY_MMAP ? offset : 0, length, fd: -1 };
      });
      this.buffers.push({ state: "idle", planes });
    }
    if (request.memory === v.V4L2_MEMORY_MMAP && end > 0) {
      this.#memory = Fd.memory(DRIVER_MEMORY, end);
    }
    return 0;
  }

  #queryBuffer(argument: Struct<typeof v.v4l2Buffer.fields>): number {
    const buffer = this.buffers[argument.index];
    if (buffer === undefined) return -errno.EINVAL;
    const [first] = buffer.planes;
    if (!this.options.multiplanar) {
      argument.length = first?.length ?? 0;
      argument["m.offset"] = first?.offset ?? 0;
      return 0;
    }
    return this.#eachPlane(argument, (plane, i) => {
      plane.length = buffer.planes[i]?.length ?? 0;
      plane["m.mem_offset"] = buffer.planes[i]?.offset ?? 0;
    });
  }

  #queueBuffer(argument: Struct<typeof v.v4l2Buffer.fields>): number {
    const buffer = this.buffers[argument.index];
    if (buffer?.state !== "idle" || argument.memory !== this.#memoryType) return -errno.EINVAL;
    if (this.#memoryType === v.V4L2_MEMORY_DMABUF) {
      const take = (i: number, fd: number, length: number) => {
        const plane = buffer.planes[i];
        if (plane === undefined || length < plane.length) return -errno.EINVAL;
        plane.fd = fd;
        return 0;
      };
      let r = 0;
      if (!this.options.multiplanar) r = take(0, argument["m.fd"], argument.length);
      else {
        const given = this.#eachPlane(argument, (plane, i) => {
          r = Math.min(r, take(i, plane["m.fd"], plane.length));
        });
        r = Math.min(r, given);
      }
      if (r < 0) return r;
    }
    buffer.state = "queued";
    this.#queued.push(argument.index);
    return 0;
  }

  #dequeueBuffer(argument: Struct<typeof v.v4l2Buffer.fields>): number {
    if (!this.streaming) return -errno.EINVAL;
    const filled = this.#filled.shift();
    if (filled === undefined) {
      this.#ready.clear();
      return -errno.EAGAIN;
    }
    const buffer = this.buffers[filled.buffer];
    if (buffer === undefined) return -errno.EINVAL;
    buffer.state = "idle";
    argument.index = filled.index ?? filled.buffer;
    argument.flags = filled.flags ?? v.V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    argument.sequence = filled.sequence ?? filled.stamp;
    argument["timestamp.tv_sec"] = 1000 + filled.stamp;
    argument["timestamp.tv_usec"] = filled.stamp;
    const used = (i: number) => filled.bytesused ?? this.planes[i]?.sizeimage ?? 0;
    if (!this.options.multiplanar) {
      argument.bytesused = used(0);
      return 0;
    }
    return this.#eachPlane(argument, (plane, i) => {
      plane.bytesused = used(i);
      plane.data_offset = filled.dataOffset ?? 0;
    });
  }

  /** Follows `m.planes` as the kernel does: it has to point at one entry per plane at least. */
  #eachPlane(
    argument: Struct<typeof v.v4l2Buffer.fields>,
    action: (plane: Struct<typeof v.v4l2Plane.fields>, index: number) => void,
  ): number {
    if (argument["m.planes"] === 0 || argument.length < this.planes.length) return -errno.EINVAL;
    const bytes = viewOf(argument["m.planes"], argument.length * v.v4l2Plane.size);
    for (let i = 0; i < this.planes.length; i++) {
      action(v.v4l2Plane.over(bytes, i * v.v4l2Plane.size), i);
    }
    return 0;
  }

  #streamOff(): number {
    this.streaming = false;
    this.#queued.length = 0;
    this.#filled.length = 0;
    for (const buffer of this.buffers) buffer.state = "idle";
    return 0;
  }

  [Symbol.dispose](): void {
    if (this.disposed) return;
    this.disposed = true;
    this.calls.push("close");
    this.#memory?.[Symbol.dispose]();
    this.#ready[Symbol.dispose]();
  }
}

const roundUp = (length: number) => Math.ceil(length / PAGE) * PAGE;

/** Writes a frame interval into a v4l2_streamparm, as a driver answers it. */
export function rate(
  parm: Struct<typeof v.v4l2Streamparm.fields>,
  numerator: number,
  denominator: number,
): number {
  parm["parm.capture.timeperframe.numerator"] = numerator;
  parm["parm.capture.timeperframe.denominator"] = denominator;
  return 0;
}

function describe(name: string, argument: Record<string, unknown>): string {
  const short = name.replace("VIDIOC_", "");
  if (short === "REQBUFS") {
    const memory = argument.memory === v.V4L2_MEMORY_DMABUF ? "DMABUF" : "MMAP";
    return `${short} ${argument.count} ${memory}`;
  }
  return short === "QBUF" || short === "QUERYBUF" ? `${short} ${argument.index}` : short;
}
