// A buffer queue of a V4L2 device, capture or output, single- or multi-planar, MMAP, DMABUF or USERPTR: REQBUFS,
// QUERYBUF, QBUF, DQBUF, EXPBUF, STREAMON, STREAMOFF. The structs are made once: a running queue allocates nothing.
import { errno, must, SysError } from "../../ffi/errno.ts";
import { Fd, O_CLOEXEC, O_RDWR } from "../../ffi/fd.ts";
import { type Ioctl, int } from "../../ffi/ioctl.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import type { Fields, Struct } from "../../ffi/struct.ts";
import type { VideoDevice } from "./device.ts";
import { bufferType, type Direction } from "./format.ts";

/** The kernel's VIDEO_MAX_FRAME. */
export const MAX_BUFFERS = 32;
/** Most buffers whose state is kept. Callers check what `request` answers against a limit below this one. */
const MAX_TRACKED = 1024;

const memoryNumbers = {
  mmap: v.V4L2_MEMORY_MMAP,
  userptr: v.V4L2_MEMORY_USERPTR,
  dmabuf: v.V4L2_MEMORY_DMABUF,
} as const;
export type MemoryType = keyof typeof memoryNumbers;

/** Where the driver keeps a plane of a buffer, for mmap. */
export interface PlanePlace {
  readonly length: number;
  readonly offset: number;
}

/** Memory of the caller for a plane: a dma-buf, or an address. */
export type PlaneMemory = { readonly length: number } & (
  | { readonly fd: number }
  | { readonly address: number }
);

/** What an output buffer holds. A caller makes one object and changes it for each buffer. */
export interface Payload {
  /** Bytes used of each memory plane. */
  readonly bytesused: readonly number[];
  readonly tsSec: number;
  readonly tsUsec: number;
  /** V4L2_FIELD_... */
  readonly field: number;
}

/** What `dequeue` answers for a buffer the driver did not have: below every errno, which end at -4095. */
export const NOT_QUEUED = -4096;

export class Queue<D extends Direction = Direction> {
  readonly device: VideoDevice;
  readonly direction: D;
  /** Its v4l2_buf_type. */
  readonly type: number;
  /** STREAMON was done. */
  streaming = false;
  /** Buffers that the driver has. */
  queuedCount = 0;
  readonly #multiplanar: boolean;
  readonly #buffer = v.v4l2Buffer.alloc();
  readonly #planeBytes = new Uint8Array(new ArrayBuffer(v.v4l2Plane.size * v.VIDEO_MAX_PLANES));
  readonly #planes = Array.from({ length: v.VIDEO_MAX_PLANES }, (_, i) =>
    v.v4l2Plane.over(this.#planeBytes, i * v.v4l2Plane.size),
  );
  readonly #planesAt = this.#planes[0]?.$address ?? 0;
  #memory: MemoryType = "mmap";
  #planeCount = 1;
  #queued: boolean[] = [];

  constructor(device: VideoDevice, direction: D, multiplanar: boolean) {
    this.device = device;
    this.direction = direction;
    this.type = bufferType(direction, multiplanar);
    this.#multiplanar = multiplanar;
  }

  /** Buffers that exist. */
  get count(): number {
    return this.#queued.length;
  }
  /** Where the buffers are, as `request` asked last. */
  get memory(): MemoryType {
    return this.#memory;
  }
  /** Whether the driver has buffer `index`. */
  isQueued(index: number): boolean {
    return this.#queued[index] ?? false;
  }

  /** REQBUFS: how many buffers the driver gives, of `planes` memory planes each, or a negative errno. */
  request(count: number, memory: MemoryType, planes: number): number {
    this.#memory = memory;
    this.#planeCount = Math.min(planes, v.VIDEO_MAX_PLANES);
    const r = this.#requestBuffers(count);
    this.#queued = new Array<boolean>(Math.max(0, Math.min(r, MAX_TRACKED))).fill(false);
    this.queuedCount = 0;
    return r;
  }

  /** REQBUFS 0: frees the buffers. Unmap them before, or the driver keeps them. */
  free(): void {
    this.#requestBuffers(0);
    this.#queued = [];
    this.queuedCount = 0;
  }

  #requestBuffers(count: number): number {
    const request = v.v4l2Requestbuffers.alloc();
    request.count = count;
    request.type = this.type;
    request.memory = memoryNumbers[this.#memory];
    const r = this.device.ioctl(v.VIDIOC_REQBUFS, request);
    return r < 0 ? r : request.count;
  }

  /** QUERYBUF: where the driver keeps the planes of buffer `index` (MMAP). Throws SysError. */
  places(index: number): PlanePlace[] {
    this.#prepare(index);
    this.#must(v.VIDIOC_QUERYBUF, this.#buffer);
    if (!this.#multiplanar)
      return [{ length: this.#buffer.length, offset: this.#buffer["m.offset"] }];
    return this.#planes.slice(0, this.#planeCount).map((plane) => ({
      length: plane.length,
      offset: plane["m.mem_offset"],
    }));
  }

  /** EXPBUF: a plane of buffer `index` as a new dma-buf (MMAP). Throws SysError. */
  export(index: number, plane = 0): Fd {
    const request = v.v4l2Exportbuffer.alloc();
    request.type = this.type;
    request.index = index;
    request.plane = plane;
    request.flags = O_CLOEXEC | O_RDWR;
    request.fd = -1;
    const r = this.device.ioctl(v.VIDIOC_EXPBUF, request);
    if (r >= 0 && request.fd >= 0) return new Fd(request.fd, "dma-buf");
    const code = r < 0 ? -r : errno.EBADF; // some drivers report success without a descriptor
    throw new SysError("VIDIOC_EXPBUF", `${this.device.path} (buffer ${index})`, code);
  }

  /** QBUF for the device to fill; with the memory of its planes for DMABUF and USERPTR. 0 or a negative errno. */
  queueEmpty(this: Queue<"capture">, index: number, memory?: readonly PlaneMemory[]): number {
    this.#prepare(index);
    if (memory !== undefined) this.#setMemory(memory);
    return this.#enqueue(index);
  }

  /** QBUF with a picture or bitstream for the device to read. 0 or a negative errno. */
  queueFilled(
    this: Queue<"output">,
    index: number,
    payload: Payload,
    memory?: readonly PlaneMemory[],
  ): number {
    this.#prepare(index);
    this.#buffer.field = payload.field;
    this.#buffer["timestamp.tv_sec"] = payload.tsSec;
    this.#buffer["timestamp.tv_usec"] = payload.tsUsec;
    for (let i = 0; i < this.#planeCount; i++) {
      this.#plane(i).bytesused = payload.bytesused[i] ?? 0;
    }
    if (memory !== undefined) this.#setMemory(memory);
    return this.#enqueue(index);
  }

  #setMemory(memory: readonly PlaneMemory[]): void {
    for (let i = 0; i < this.#planeCount; i++) {
      const given = memory[i];
      if (given === undefined) throw new RangeError(`no memory for plane ${i}`);
      const plane = this.#plane(i);
      if ("fd" in given) plane["m.fd"] = given.fd;
      else plane["m.userptr"] = given.address;
      plane.length = given.length;
    }
  }

  #enqueue(index: number): number {
    const r = this.device.ioctl(v.VIDIOC_QBUF, this.#buffer);
    if (r < 0) return r;
    this.#queued[index] = true;
    this.queuedCount++;
    return 0;
  }

  /**
   * DQBUF: the index of a finished buffer, which the getters below describe until the next call. Otherwise NOT_QUEUED,
   * or a negative errno: -EAGAIN when no buffer is ready, -EPIPE after the last buffer of a stream.
   */
  dequeue(): number {
    this.#prepare(0);
    const r = this.device.ioctl(v.VIDIOC_DQBUF, this.#buffer);
    if (r < 0) return r;
    const { index } = this.#buffer;
    if (this.#queued[index] !== true) return NOT_QUEUED;
    this.#queued[index] = false;
    this.queuedCount--;
    return index;
  }

  // The driver's answer to the last `dequeue`.
  get index(): number {
    return this.#buffer.index;
  }
  get flags(): number {
    return this.#buffer.flags;
  }
  get error(): boolean {
    return (this.#buffer.flags & v.V4L2_BUF_FLAG_ERROR) !== 0;
  }
  get last(): boolean {
    return (this.#buffer.flags & v.V4L2_BUF_FLAG_LAST) !== 0;
  }
  get sequence(): number {
    return this.#buffer.sequence;
  }
  get tsSec(): number {
    return this.#buffer["timestamp.tv_sec"];
  }
  get tsUsec(): number {
    return this.#buffer["timestamp.tv_usec"];
  }
  /** Bytes used of a memory plane, `dataOffset` included. */
  bytesused(plane: number): number {
    return plane < this.#planeCount ? this.#plane(plane).bytesused : 0;
  }
  /** Bytes of a memory plane before the picture. */
  dataOffset(plane: number): number {
    return this.#multiplanar ? (this.#planes[plane]?.data_offset ?? 0) : 0;
  }

  /** STREAMON. Throws SysError. */
  start(): void {
    if (this.streaming) return;
    this.#must(v.VIDIOC_STREAMON, this.#typeArgument());
    this.streaming = true;
  }

  /** STREAMOFF: the driver returns every buffer, and drops what is in them. */
  stop(): void {
    if (this.streaming || this.queuedCount > 0)
      this.device.ioctl(v.VIDIOC_STREAMOFF, this.#typeArgument());
    this.streaming = false;
    this.#queued.fill(false);
    this.queuedCount = 0;
  }

  #typeArgument() {
    const type = int.alloc();
    type.value = this.type;
    return type;
  }

  /** The struct with the members of plane `i` that both APIs have under the same names. */
  #plane(i: number): PlaneStruct {
    return this.#multiplanar ? (this.#planes[i] as PlaneStruct) : this.#buffer;
  }

  #prepare(index: number): void {
    this.#buffer.$bytes.fill(0);
    this.#buffer.index = index;
    this.#buffer.type = this.type;
    this.#buffer.memory = memoryNumbers[this.#memory];
    if (!this.#multiplanar) return;
    this.#planeBytes.fill(0);
    this.#buffer["m.planes"] = this.#planesAt;
    this.#buffer.length = this.#planeCount;
  }

  #must<F extends Fields>(request: Ioctl<F>, argument: Struct<F>): void {
    must(this.device.ioctl(request, argument), request.name, this.device.path);
  }
}

type PlaneStruct = Pick<
  Struct<typeof v.v4l2Plane.fields>,
  "bytesused" | "length" | "m.fd" | "m.userptr"
>;
