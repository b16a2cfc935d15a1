// One buffer queue of a memory-to-memory device: single- or multi-planar, MMAP or USERPTR. The structs are made once;
// a running queue allocates nothing here.
import { errno, must, SysError } from "../../ffi/errno.ts";
import { int } from "../../ffi/ioctl.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import type { Mapping } from "../../ffi/mapping.ts";
import type { VideoDevice } from "./device.ts";

/** The kernel's VIDEO_MAX_FRAME. */
export const MAX_BUFFERS = 32;

export class M2mQueue implements Disposable {
  readonly device: VideoDevice;
  readonly type: number;
  readonly #multiplanar: boolean;
  readonly #buffer = v.v4l2Buffer.alloc();
  readonly #planeBytes = new Uint8Array(new ArrayBuffer(v.v4l2Plane.size * v.VIDEO_MAX_PLANES));
  readonly #planes = Array.from({ length: v.VIDEO_MAX_PLANES }, (_, i) =>
    v.v4l2Plane.over(this.#planeBytes, i * v.v4l2Plane.size),
  );
  readonly #planesAt = this.#planes[0]?.$address ?? 0;
  #memory: number = v.V4L2_MEMORY_MMAP;
  #planeCount = 1;
  #mappings: Mapping[][] = [];
  #queued: boolean[] = [];
  // USERPTR: the kernel keeps the pages of the address a buffer had last, and looks them up only for another one.
  #addresses: number[] = [];
  /** That address may stand for other memory now. */
  #stale: boolean[] = [];
  /** Buffers with the driver. */
  queuedCount = 0;
  streaming = false;
  /** What people have been told about its buffers. */
  told = "";

  constructor(device: VideoDevice, type: number) {
    this.device = device;
    this.type = type;
    this.#multiplanar = type >= v.V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
  }

  /** Buffers there are. */
  get count(): number {
    return this.#queued.length;
  }
  get userPointers(): boolean {
    return this.#memory === v.V4L2_MEMORY_USERPTR;
  }

  /** Makes `wanted` buffers of the driver's own memory and maps them. Throws SysError. */
  makeMapped(wanted: number, planeCount: number): void {
    this.#request(wanted, v.V4L2_MEMORY_MMAP, planeCount);
    try {
      this.#mappings = this.#queued.map((_, index) => this.#map(index));
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** Makes buffers that get their memory when they are queued. Throws SysError where the driver has no such. */
  makeUserPointers(wanted: number): void {
    this.#request(wanted, v.V4L2_MEMORY_USERPTR, 1);
  }

  #request(wanted: number, memory: number, planeCount: number): void {
    const request = v.v4l2Requestbuffers.alloc();
    request.count = wanted;
    request.type = this.type;
    request.memory = memory;
    must(this.device.ioctl(v.VIDIOC_REQBUFS, request), "VIDIOC_REQBUFS", this.device.path);
    if (request.count < 1 || request.count > 1024)
      throw new SysError("VIDIOC_REQBUFS", this.device.path, errno.ENOMEM);
    this.#memory = memory;
    this.#planeCount = planeCount;
    this.#queued = new Array<boolean>(request.count).fill(false);
    this.#addresses = new Array<number>(request.count).fill(0);
    this.#stale = new Array<boolean>(request.count).fill(false);
    this.queuedCount = 0;
  }

  #map(index: number): Mapping[] {
    this.#prepare(index);
    must(this.device.ioctl(v.VIDIOC_QUERYBUF, this.#buffer), "VIDIOC_QUERYBUF", this.device.path);
    using owned = new DisposableStack();
    const places = this.#multiplanar
      ? this.#planes
          .slice(0, this.#planeCount)
          .map((plane) => ({ length: plane.length, offset: plane["m.mem_offset"] }))
      : [{ length: this.#buffer.length, offset: this.#buffer["m.offset"] }];
    const mappings = places.map(({ length, offset }) => owned.use(this.device.map(length, offset)));
    owned.move();
    return mappings;
  }

  /** The memory of a plane of a mapped buffer. */
  mapping(index: number, plane: number): Mapping | undefined {
    return this.#mappings[index]?.[plane];
  }

  /**
   * A buffer the driver does not have; -1 when it has them all. For a user pointer `address` the one that had it last,
   * which costs nothing; otherwise one that had none.
   */
  free(address = 0): number {
    let found = -1;
    for (let i = 0; i < this.#queued.length; i++) {
      if (this.#queued[i] === true) continue;
      const known = this.#addresses[i] ?? 0;
      if (address !== 0 && known === address) {
        if (this.#stale[i] === true) continue; // the kernel would take the pages of before
        return i;
      }
      if (found < 0 || (known === 0 && this.#addresses[found] !== 0)) found = i;
    }
    return found;
  }

  /** Addresses that no queued buffer has may stand for other memory from now on. */
  forgetPlaces(): void {
    for (let i = 0; i < this.#stale.length; i++) if (!this.isQueued(i)) this.#stale[i] = true;
  }

  isQueued(index: number): boolean {
    return this.#queued[index] ?? false;
  }

  /**
   * Gives buffer `index` to the driver; 0 or a negative errno. `bytesused` and `key` (the timestamp in microseconds)
   * count for bitstream, `address` and `length` for user pointers.
   */
  queue(index: number, bytesused: number, key: number, address = 0, length = 0): number {
    this.#prepare(index);
    const buffer = this.#buffer;
    buffer["timestamp.tv_sec"] = Math.floor(key / 1e6);
    buffer["timestamp.tv_usec"] = key % 1e6;
    const [plane] = this.#planes;
    if (this.#multiplanar && plane !== undefined) {
      plane.bytesused = bytesused;
      if (address !== 0) {
        plane["m.userptr"] = address;
        plane.length = length;
      }
    } else {
      buffer.bytesused = bytesused;
      if (address !== 0) {
        buffer["m.userptr"] = address;
        buffer.length = length;
      }
    }
    const r = this.device.ioctl(v.VIDIOC_QBUF, buffer);
    if (r >= 0) {
      if (address !== 0) {
        this.#addresses[index] = address;
        this.#stale[index] = false;
      }
      this.#queued[index] = true;
      this.queuedCount++;
    }
    return r;
  }

  /** Takes a finished buffer: its index, or a negative errno (-EAGAIN: none yet, -EPIPE: after the last one). */
  dequeue(): number {
    this.#prepare(0);
    const r = this.device.ioctl(v.VIDIOC_DQBUF, this.#buffer);
    if (r < 0) return r;
    const { index } = this.#buffer;
    if (this.#queued[index] !== true) return -errno.EIO; // the driver invents buffers
    this.#queued[index] = false;
    this.queuedCount--;
    return index;
  }

  // What the last `dequeue` said.
  get last(): boolean {
    return (this.#buffer.flags & v.V4L2_BUF_FLAG_LAST) !== 0;
  }
  get error(): boolean {
    return (this.#buffer.flags & v.V4L2_BUF_FLAG_ERROR) !== 0;
  }
  get key(): number {
    return this.#buffer["timestamp.tv_sec"] * 1e6 + this.#buffer["timestamp.tv_usec"];
  }
  /** Bytes before the picture of a plane. */
  dataOffset(plane: number): number {
    return this.#multiplanar ? (this.#planes[plane]?.data_offset ?? 0) : 0;
  }
  /** Bytes of picture in a plane; never more than the buffer has. */
  bytesused(plane: number): number {
    const said = this.#multiplanar
      ? (this.#planes[plane]?.bytesused ?? 0)
      : plane === 0
        ? this.#buffer.bytesused
        : 0;
    return Math.max(0, said - this.dataOffset(plane));
  }

  /** STREAMON. Throws SysError. */
  start(): void {
    if (this.streaming) return;
    must(this.#stream(v.VIDIOC_STREAMON), "VIDIOC_STREAMON", this.device.path);
    this.streaming = true;
  }

  /** STREAMOFF: every buffer comes back, and with it whatever was in it. */
  stop(): void {
    if (this.streaming || this.queuedCount > 0) this.#stream(v.VIDIOC_STREAMOFF);
    this.streaming = false;
    this.#queued.fill(false);
    this.queuedCount = 0;
  }

  #stream(request: typeof v.VIDIOC_STREAMON): number {
    const type = int.alloc();
    type.value = this.type;
    return this.device.ioctl(request, type);
  }

  /** Stops and frees the buffers. */
  release(): void {
    this.stop();
    for (const mapping of this.#mappings.flat()) mapping[Symbol.dispose]();
    this.#mappings = [];
    if (this.#queued.length === 0) return;
    this.#queued = [];
    const request = v.v4l2Requestbuffers.alloc();
    request.type = this.type;
    request.memory = this.#memory;
    this.device.ioctl(v.VIDIOC_REQBUFS, request);
  }

  #prepare(index: number): void {
    this.#buffer.$bytes.fill(0);
    this.#buffer.index = index;
    this.#buffer.type = this.type;
    this.#buffer.memory = this.#memory;
    this.#buffer.field = v.V4L2_FIELD_NONE;
    if (!this.#multiplanar) return;
    this.#planeBytes.fill(0);
    this.#buffer["m.planes"] = this.#planesAt;
    this.#buffer.length = this.#planeCount;
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
