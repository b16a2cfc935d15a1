// The buffer queue of a capture device, single- or multi-planar, one memory type: REQBUFS, QBUF, DQBUF.
// The structs are made once: a running stream allocates nothing here.
import { errno } from "../../ffi/errno.ts";
import { O_CLOEXEC, O_RDWR } from "../../ffi/fd.ts";
import { int } from "../../ffi/ioctl.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { demand } from "../capture/negotiate.ts";
import type { VideoDevice } from "./device.ts";

/** Where the driver keeps a plane of a buffer, for mmap. */
export interface PlanePlace {
  readonly length: number;
  readonly offset: number;
}

/** Memory of ours for a plane: a dma-buf, or an address. */
export type PlaneMemory = { readonly length: number } & (
  | { readonly fd: number }
  | { readonly address: number }
);

export class BufferQueue {
  readonly device: VideoDevice;
  readonly memory: number;
  readonly #type: number;
  readonly #planeCount: number;
  readonly #multiplanar: boolean;
  readonly #buffer = v.v4l2Buffer.alloc();
  readonly #planeBytes = new Uint8Array(new ArrayBuffer(v.v4l2Plane.size * v.VIDEO_MAX_PLANES));
  readonly #planes = Array.from({ length: v.VIDEO_MAX_PLANES }, (_, i) =>
    v.v4l2Plane.over(this.#planeBytes, i * v.v4l2Plane.size),
  );
  readonly #planesAt = this.#planes[0]?.$address ?? 0;

  constructor(device: VideoDevice, type: number, memory: number, planeCount: number) {
    this.device = device;
    this.memory = memory;
    this.#type = type;
    this.#planeCount = planeCount;
    this.#multiplanar = type === v.V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
  }

  /** Asks for `count` buffers; how many the driver gives, or a negative errno. 0 frees them. */
  request(count: number): number {
    const request = v.v4l2Requestbuffers.alloc();
    request.count = count;
    request.type = this.#type;
    request.memory = this.memory;
    const r = this.device.ioctl(v.VIDIOC_REQBUFS, request);
    return r < 0 ? r : request.count;
  }

  /** Where the driver keeps the planes of buffer `index` (MMAP). Throws UnavailableError. */
  places(index: number): PlanePlace[] {
    this.#prepare(index);
    demand(this.device, v.VIDIOC_QUERYBUF, this.#buffer);
    if (!this.#multiplanar) {
      return [{ length: this.#buffer.length, offset: this.#buffer["m.offset"] }];
    }
    return this.#planes.slice(0, this.#planeCount).map((plane) => ({
      length: plane.length,
      offset: plane["m.mem_offset"],
    }));
  }

  /** Hands buffer `index` to the driver; for DMABUF and USERPTR with the memory of its planes. */
  queue(index: number, memory?: readonly PlaneMemory[]): number {
    this.#prepare(index);
    for (let i = 0; memory !== undefined && i < this.#planeCount; i++) {
      const given = memory[i];
      const plane = this.#multiplanar ? this.#planes[i] : this.#buffer;
      if (given === undefined || plane === undefined)
        throw new RangeError(`no memory for plane ${i}`);
      if ("fd" in given) plane["m.fd"] = given.fd;
      else plane["m.userptr"] = given.address;
      plane.length = given.length;
    }
    return this.device.ioctl(v.VIDIOC_QBUF, this.#buffer);
  }

  /** The next filled buffer, described by `filled` until the next call; undefined when there is none, or a negative errno. */
  dequeue(): Filled | undefined | number {
    this.#prepare(0);
    const r = this.device.ioctl(v.VIDIOC_DQBUF, this.#buffer);
    if (r === -errno.EAGAIN) return undefined;
    if (r < 0) return r;
    return this.#filled;
  }

  /** STREAMON or STREAMOFF; 0 or a negative errno. Off also takes every buffer back from the driver. */
  stream(on: boolean): number {
    const type = int.alloc();
    type.value = this.#type;
    return this.device.ioctl(on ? v.VIDIOC_STREAMON : v.VIDIOC_STREAMOFF, type);
  }

  /** How many of `count` buffers the driver can export as dma-bufs; only asked, the descriptors are closed. */
  exportable(count: number, close: (fd: number) => void): number {
    let exported = 0;
    for (let index = 0; index < count; index++) {
      const fd = this.export(index);
      if (fd < 0) continue;
      exported += 1;
      close(fd);
    }
    return exported;
  }

  /** A new dma-buf descriptor of the first plane of buffer `index`, close-on-exec, or a negative errno (MMAP). */
  export(index: number): number {
    const request = v.v4l2Exportbuffer.alloc();
    request.type = this.#type;
    request.index = index;
    request.flags = O_CLOEXEC | O_RDWR;
    request.fd = -1;
    const r = this.device.ioctl(v.VIDIOC_EXPBUF, request);
    return r < 0 ? r : request.fd;
  }

  #prepare(index: number): void {
    this.#buffer.$bytes.fill(0);
    this.#buffer.index = index;
    this.#buffer.type = this.#type;
    this.#buffer.memory = this.memory;
    if (!this.#multiplanar) return;
    this.#planeBytes.fill(0);
    this.#buffer["m.planes"] = this.#planesAt;
    this.#buffer.length = this.#planeCount;
  }

  readonly #filled: Filled = (() => {
    const buffer = this.#buffer;
    const planes = this.#planes;
    const multiplanar = () => this.#multiplanar;
    return {
      get index() {
        return buffer.index;
      },
      get flags() {
        return buffer.flags;
      },
      get sequence() {
        return buffer.sequence;
      },
      get tsSec() {
        return buffer["timestamp.tv_sec"];
      },
      get tsUsec() {
        return buffer["timestamp.tv_usec"];
      },
      bytesused: (plane: number) =>
        multiplanar() ? (planes[plane]?.bytesused ?? 0) : buffer.bytesused,
      dataOffset: (plane: number) => (multiplanar() ? (planes[plane]?.data_offset ?? 0) : 0),
    };
  })();
}

/** A filled buffer, as the last DQBUF described it. */
export interface Filled {
  readonly index: number;
  readonly flags: number;
  readonly sequence: number;
  readonly tsSec: number;
  readonly tsUsec: number;
  /** Bytes the driver wrote to a memory plane, `dataOffset` included. */
  bytesused(plane: number): number;
  dataOffset(plane: number): number;
}
