// A V4L2 output driver without a kernel: one queue, single- or multi-planar, that "shows" its buffers in order and records
// each QBUF. It cannot show what a kernel does to mappings and DMA.
import { Signal } from "../../ffi/epoll.ts";
import { errno } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import type { Ioctl } from "../../ffi/ioctl.ts";
import { viewOf } from "../../ffi/libc.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { Mapping } from "../../ffi/mapping.ts";
import type { Fields, Struct } from "../../ffi/struct.ts";
import type { OutputNode } from "../../src/v4l2/output-device.ts";

const PAGE = 4096;

/** A plane as QBUF gave it. */
export interface ShownPlane {
  readonly bytesused: number;
  readonly length: number;
  /** The descriptor (DMABUF) or the address (USERPTR); 0 for MMAP. */
  readonly place: number;
}
export interface Shown {
  readonly index: number;
  readonly seconds: number;
  readonly microseconds: number;
  readonly field: number;
  readonly planes: readonly ShownPlane[];
}

export class FakeOutput implements OutputNode {
  readonly path = "/dev/video9";
  readonly shown: Shown[] = [];
  streaming = false;
  /** Errnos by the names of ioctls that fail. */
  readonly faults = new Map<string, number>();
  /** QUERYCAP: flags of the node, driver and card. */
  flags = 0;
  driver = "fake";
  /** Changes the answer of S_FMT: an HDMI output has the size of its timings. */
  answer: (format: Struct<typeof v.v4l2Format.fields>) => void = () => undefined;
  /** Copies of the pictures, read when a buffer is queued (MMAP). */
  readonly pictures: Uint8Array[] = [];
  /** Buffers that DQBUF keeps back: they are still on the screen. */
  holds = 0;
  /** V4L2_MEMORY_ types that REQBUFS, or QBUF, refuses with EINVAL. */
  readonly refusedTypes = new Set<number>();
  readonly refusedAtQueueing = new Set<number>();
  /** Index that the next DQBUF answers, whatever was queued. */
  wrongIndex: number | undefined;
  readonly #planeBytes: readonly number[];
  readonly #multiplanar: boolean;
  readonly #memory: Fd;
  /** What poll sees: always writable, as some kernels say it. */
  readonly #readiness = new Signal();
  #count = 0;
  #memoryType = 0;
  #done: Shown[] = [];

  /** `planeBytes`: one page-aligned size per memory plane; with `multiplanar` false there is one plane. */
  constructor(planeBytes: readonly number[], multiplanar: boolean) {
    this.#planeBytes = planeBytes;
    this.#multiplanar = multiplanar;
    this.#memory = Fd.memory("fake-output", 32 * this.#bytes);
    const output = multiplanar ? v.V4L2_CAP_VIDEO_OUTPUT_MPLANE : v.V4L2_CAP_VIDEO_OUTPUT;
    this.flags = output | v.V4L2_CAP_STREAMING;
  }

  write(): number {
    return -errno.EINVAL;
  }

  get #bytes(): number {
    return this.#planeBytes.reduce((sum, bytes) => sum + bytes, 0);
  }
  get #type(): number {
    return this.#multiplanar ? v.V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE : v.V4L2_BUF_TYPE_VIDEO_OUTPUT;
  }
  get fd(): number {
    return this.#readiness.fd;
  }
  /** Shows the next picture: all buffers but `holds` are finished, and poll says so. */
  finish(holds: number): void {
    this.holds = holds;
    this.#readiness.raise();
    this.#readiness.clear(); // which is what makes an eventfd report that it is writable
  }
  get buffers(): number {
    return this.#count;
  }

  map(length: number, offset: number): Mapping {
    return new Mapping(this.#memory.number, length, this.path, undefined, offset);
  }

  ioctl<F extends Fields>(request: Ioctl<F>, argument: Struct<F>): number {
    const fault = this.faults.get(request.name);
    if (fault !== undefined) return -fault;
    // biome-ignore lint/suspicious/noExplicitAny: each handler knows the struct of its ioctl
    const handler: ((q: any) => number) | undefined = this.#handlers[request.name];
    return handler?.(argument) ?? -errno.ENOTTY;
  }

  // biome-ignore lint/suspicious/noExplicitAny: each handler knows the struct of its ioctl
  readonly #handlers: Record<string, (q: any) => number> = {
    VIDIOC_QUERYCAP: (q: Struct<typeof v.v4l2Capability.fields>) => {
      const text = new TextEncoder();
      text.encodeInto(this.driver, q.$bytes);
      text.encodeInto("screen", q.$bytes.subarray(16));
      q.device_caps = this.flags >>> 0;
      q.capabilities = (this.flags | v.V4L2_CAP_DEVICE_CAPS) >>> 0;
      return 0;
    },
    VIDIOC_S_FMT: (q: Struct<typeof v.v4l2Format.fields>) => {
      if (q.type !== this.#type) return -errno.EINVAL;
      if (this.#count > 0) return -errno.EBUSY; // vb2: buffers exist
      if (this.#multiplanar) {
        q["fmt.pix_mp.num_planes"] = this.#planeBytes.length;
        const first = v.v4l2Format.fields["fmt.pix_mp.plane_fmt"].offset;
        for (const [i, sizeimage] of this.#planeBytes.entries())
          v.v4l2PlanePixFormat.over(q.$bytes, first + i * v.v4l2PlanePixFormat.size).sizeimage =
            sizeimage;
      } else {
        q["fmt.pix.bytesperline"] = 0;
        q["fmt.pix.sizeimage"] = this.#planeBytes[0] ?? 0;
      }
      this.answer(q);
      return 0;
    },
    VIDIOC_REQBUFS: (q: Struct<typeof v.v4l2Requestbuffers.fields>) => {
      if (q.type !== this.#type || this.refusedTypes.has(q.memory)) return -errno.EINVAL;
      this.#memoryType = q.memory;
      this.#count = q.count;
      return 0;
    },
    VIDIOC_QUERYBUF: (q: Struct<typeof v.v4l2Buffer.fields>) => {
      if (!this.#knows(q)) return -errno.EINVAL;
      let offset = q.index * this.#bytes;
      for (const [i, length] of this.#planeBytes.entries()) {
        const plane = this.#plane(q, i);
        plane.length = length;
        if (this.#multiplanar)
          (plane as Struct<typeof v.v4l2Plane.fields>)["m.mem_offset"] = offset;
        else q["m.offset"] = offset;
        offset += Math.ceil(length / PAGE) * PAGE;
      }
      return 0;
    },
    VIDIOC_EXPBUF: (q: Struct<typeof v.v4l2Exportbuffer.fields>) => {
      if (q.type !== this.#type || q.plane >= this.#planeBytes.length) return -errno.EINVAL;
      q.fd = Fd.duplicate(this.#memory.number, "exported").number;
      return 0;
    },
    VIDIOC_QBUF: (q: Struct<typeof v.v4l2Buffer.fields>) => this.#show(q),
    VIDIOC_DQBUF: (q: Struct<typeof v.v4l2Buffer.fields>) => {
      if (!this.streaming) return -errno.EINVAL;
      if (this.wrongIndex !== undefined) {
        q.index = this.wrongIndex;
        return 0;
      }
      const first = this.#done.length > this.holds ? this.#done.shift() : undefined;
      if (first === undefined) return -errno.EAGAIN;
      q.index = first.index;
      q.sequence = this.shown.indexOf(first);
      return 0;
    },
    VIDIOC_STREAMON: (q: { value: number }) => {
      if (q.value !== this.#type) return -errno.EINVAL;
      this.streaming = true;
      return 0;
    },
    VIDIOC_STREAMOFF: () => {
      this.streaming = false;
      this.#done = [];
      return 0;
    },
  };

  #knows(q: Struct<typeof v.v4l2Buffer.fields>): boolean {
    const planes = this.#multiplanar && (q["m.planes"] === 0 || q.length < this.#planeBytes.length);
    return (
      q.type === this.#type && q.memory === this.#memoryType && q.index < this.#count && !planes
    );
  }

  #show(q: Struct<typeof v.v4l2Buffer.fields>): number {
    if (!this.#knows(q) || this.refusedAtQueueing.has(q.memory)) return -errno.EINVAL;
    const planes = this.#planeBytes.map((bytes, i): ShownPlane => {
      const plane = this.#plane(q, i);
      const { bytesused } = plane;
      if (this.#memoryType === v.V4L2_MEMORY_MMAP) return { bytesused, length: bytes, place: 0 };
      const dmaBuf = this.#memoryType === v.V4L2_MEMORY_DMABUF;
      const place = dmaBuf ? plane["m.fd"] : plane["m.userptr"];
      return { bytesused, length: plane.length, place };
    });
    // vb2's __verify_length: an output buffer may not say that it holds more than it has.
    if (planes.some(({ bytesused, length }) => bytesused > length)) return -errno.EINVAL;
    const shown = {
      index: q.index,
      seconds: q["timestamp.tv_sec"],
      microseconds: q["timestamp.tv_usec"],
      field: q.field,
      planes,
    };
    this.shown.push(shown);
    if (this.#memoryType === v.V4L2_MEMORY_MMAP) this.pictures.push(this.#read(q.index, planes));
    this.#done.push(shown);
    return 0;
  }

  #read(index: number, planes: readonly ShownPlane[]): Uint8Array {
    using memory = this.map(this.#bytes, index * this.#bytes);
    let offset = 0;
    const parts = planes.map(({ bytesused }, i) => {
      const part = memory.bytes.slice(offset, offset + bytesused);
      offset += Math.ceil((this.#planeBytes[i] ?? 0) / PAGE) * PAGE;
      return part;
    });
    return new Uint8Array(Buffer.concat(parts));
  }

  #plane(q: Struct<typeof v.v4l2Buffer.fields>, i: number) {
    if (!this.#multiplanar) return q;
    return v.v4l2Plane.over(viewOf(q["m.planes"] + i * v.v4l2Plane.size, v.v4l2Plane.size));
  }

  [Symbol.dispose](): void {
    this.#readiness[Symbol.dispose]();
    this.#memory[Symbol.dispose]();
  }
}
