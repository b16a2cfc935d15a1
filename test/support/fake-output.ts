// A V4L2 output driver without a kernel: one queue, single- or multi-planar, that "shows" its buffers in order and records
// each QBUF. It cannot show what a kernel does to mappings and DMA.
import { errno } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import type { Ioctl } from "../../ffi/ioctl.ts";
import { viewOf } from "../../ffi/libc.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { Mapping } from "../../ffi/mapping.ts";
import type { Fields, Struct } from "../../ffi/struct.ts";
import type { VideoDevice } from "../../src/v4l2/device.ts";

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

export class FakeOutput implements VideoDevice {
  readonly path = "/dev/video9";
  readonly shown: Shown[] = [];
  streaming = false;
  /** Errnos by the names of ioctls that fail. */
  readonly faults = new Map<string, number>();
  readonly #planeBytes: readonly number[];
  readonly #multiplanar: boolean;
  readonly #memory: Fd;
  #count = 0;
  #memoryType = 0;
  #done: Shown[] = [];

  /** `planeBytes`: one page-aligned size per memory plane; with `multiplanar` false there is one plane. */
  constructor(planeBytes: readonly number[], multiplanar: boolean) {
    this.#planeBytes = planeBytes;
    this.#multiplanar = multiplanar;
    this.#memory = Fd.memory("fake-output", 32 * this.#bytes);
  }

  get #bytes(): number {
    return this.#planeBytes.reduce((sum, bytes) => sum + bytes, 0);
  }
  get #type(): number {
    return this.#multiplanar ? v.V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE : v.V4L2_BUF_TYPE_VIDEO_OUTPUT;
  }
  get fd(): number {
    return this.#memory.number;
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
    VIDIOC_REQBUFS: (q: Struct<typeof v.v4l2Requestbuffers.fields>) => {
      if (q.type !== this.#type) return -errno.EINVAL;
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
      const first = this.#done.shift();
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
    if (!this.#knows(q)) return -errno.EINVAL;
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
    this.#done.push(shown);
    return 0;
  }

  #plane(q: Struct<typeof v.v4l2Buffer.fields>, i: number) {
    if (!this.#multiplanar) return q;
    return v.v4l2Plane.over(viewOf(q["m.planes"] + i * v.v4l2Plane.size, v.v4l2Plane.size));
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }
}
