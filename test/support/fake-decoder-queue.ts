// The two queues of the fake decoder: formats and buffers of both planar APIs, and the byte stream of the bitstream queue.
import { errno } from "../../ffi/errno.ts";
import { viewOf } from "../../ffi/libc.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import type { Struct } from "../../ffi/struct.ts";
import { fourcc } from "../../src/format/formats.ts";
import { bufferType, type Direction } from "../../src/v4l2/format.ts";

/** Bytes for the MMAP buffers of a queue. */
export const BUFFER_AREA = 4 * 1024 * 1024;
/** Bytes of a FWHT header. */
const HEADER = 44;
const pages = (bytes: number) => Math.ceil(bytes / 4096) * 4096;

export interface FakeBuffer {
  readonly index: number;
  offset: number;
  length: number;
  address: number;
  bytesused: number;
  sec: number;
  usec: number;
  flags: number;
}

export class FakeQueue {
  readonly direction: Direction;
  readonly type: number;
  readonly #multiplanar: boolean;
  width = 1280;
  height = 720;
  format: string;
  memory: number = v.V4L2_MEMORY_MMAP;
  streaming = false;
  buffers: FakeBuffer[] = [];
  queued: FakeBuffer[] = [];
  done: FakeBuffer[] = [];

  constructor(direction: Direction, multiplanar: boolean, format: string) {
    this.direction = direction;
    this.type = bufferType(direction, multiplanar);
    this.#multiplanar = multiplanar;
    this.format = format;
  }

  /** Bytes of a picture, or of the largest bitstream. */
  get size(): number {
    return this.width * this.height * (this.direction === "output" ? 3 : 1.5);
  }
  /** Bytes of each memory plane. */
  get planeSizes(): number[] {
    if (this.format !== "NM12") return [this.size];
    return [this.width * this.height, (this.width * this.height) / 2];
  }
  /** Unused bytes between the end of the first memory plane and the second one. */
  get gap(): number {
    const [luma = 0] = this.planeSizes;
    return luma < this.size ? pages(luma) - luma : 0;
  }
  get idle(): boolean {
    return !this.streaming || this.queued.length + this.done.length === 0;
  }

  /** Entry `i` of m.planes; undefined in the single-planar API. */
  plane(q: Struct<typeof v.v4l2Buffer.fields>, i = 0) {
    if (!this.#multiplanar || i >= q.length) return undefined;
    return v.v4l2Plane.over(viewOf(q["m.planes"] + i * v.v4l2Plane.size, v.v4l2Plane.size));
  }

  /** Answers G_FMT and S_FMT. */
  describe(q: Struct<typeof v.v4l2Format.fields>): number {
    q["fmt.pix.width"] = this.width;
    q["fmt.pix.height"] = this.height;
    q["fmt.pix.pixelformat"] = fourcc(this.format);
    const stride = this.direction === "output" ? 0 : this.width;
    if (this.#multiplanar) {
      const sizes = this.planeSizes;
      q["fmt.pix_mp.num_planes"] = sizes.length;
      for (const [i, size] of sizes.entries()) {
        const plane = v.v4l2PlanePixFormat.over(q.$bytes, 28 + i * v.v4l2PlanePixFormat.size);
        plane.sizeimage = size;
        plane.bytesperline = stride;
      }
    } else {
      q["fmt.pix.sizeimage"] = this.size;
      q["fmt.pix.bytesperline"] = stride;
    }
    return 0;
  }

  /** Answers REQBUFS. */
  request(q: Struct<typeof v.v4l2Requestbuffers.fields>): number {
    if (this.streaming) return -errno.EBUSY;
    const size = this.planeSizes.reduce((sum, each) => sum + pages(each), 0);
    const base = this.direction === "output" ? 0 : BUFFER_AREA;
    const mapped = q.memory === v.V4L2_MEMORY_MMAP;
    this.memory = q.memory;
    q.count = Math.min(q.count, mapped ? Math.floor(BUFFER_AREA / size) : 32);
    this.buffers = Array.from({ length: q.count }, (_, index) => ({
      index,
      offset: base + index * size,
      length: size,
      address: 0,
      bytesused: 0,
      sec: 0,
      usec: 0,
      flags: 0,
    }));
    this.queued = [];
    this.done = [];
    return 0;
  }

  /** Answers QUERYBUF. */
  locate(q: Struct<typeof v.v4l2Buffer.fields>): number {
    const buffer = this.buffers[q.index];
    if (buffer === undefined) return -errno.EINVAL;
    if (!this.#multiplanar) {
      q.length = buffer.length;
      q["m.offset"] = buffer.offset;
      return 0;
    }
    let { offset } = buffer;
    for (const [i, size] of this.planeSizes.entries()) {
      const plane = this.plane(q, i);
      if (plane === undefined) return -errno.EINVAL;
      plane.length = pages(size);
      plane["m.mem_offset"] = offset;
      offset += pages(size);
    }
    return 0;
  }

  /** The decoder has finished a buffer. */
  finish(buffer: FakeBuffer): void {
    const at = this.queued.indexOf(buffer);
    if (at >= 0) this.queued.splice(at, 1);
    this.done.push(buffer);
  }

  /** STREAMOFF. */
  stop(): void {
    this.streaming = false;
    this.queued = [];
    this.done = [];
  }
}

/** The bytes of the queued bitstream that were not decoded yet. */
export class FakeBitstream {
  readonly #queue: FakeQueue;
  #pending: { buffer: FakeBuffer; left: number }[] = [];
  #bytes = new Uint8Array(new ArrayBuffer(0));
  /** Bytes of the stream whose buffers were returned. */
  #orphans = 0;

  constructor(queue: FakeQueue) {
    this.#queue = queue;
  }

  reset(): void {
    this.#pending = [];
    this.#orphans = 0;
    this.#bytes = new Uint8Array(new ArrayBuffer(0));
  }

  add(buffer: FakeBuffer, bytes: Uint8Array): void {
    this.#pending.push({ buffer, left: bytes.length });
    const more = new Uint8Array(new ArrayBuffer(this.#bytes.length + bytes.length));
    more.set(this.#bytes);
    more.set(bytes, this.#bytes.length);
    this.#bytes = more;
  }

  /** The size that the next header has; undefined before all of it has arrived. */
  header(): { width: number; height: number } | undefined {
    if (this.#bytes.length < HEADER) return undefined;
    const view = new DataView(this.#bytes.buffer);
    return { width: view.getUint32(12), height: view.getUint32(16) };
  }

  /** The next whole frame. */
  frame(): { width: number; height: number; size: number; body: number } | undefined {
    const header = this.header();
    if (header === undefined) return undefined;
    const size = HEADER + new DataView(this.#bytes.buffer).getUint32(40);
    if (this.#bytes.length < size) return undefined;
    return { ...header, size, body: this.#bytes[HEADER] ?? 0 };
  }

  /** Returns the buffers whose bytes were all read. Answers the buffer that had the last byte. */
  consume(length: number): FakeBuffer | undefined {
    this.#bytes = this.#bytes.slice(length);
    let rest = length - Math.min(length, this.#orphans);
    this.#orphans -= length - rest;
    let last: FakeBuffer | undefined;
    while (rest > 0) {
      const [first] = this.#pending;
      if (first === undefined) break;
      last = first.buffer;
      const n = Math.min(rest, first.left);
      first.left -= n;
      rest -= n;
      if (first.left > 0) break;
      this.#pending.shift();
      this.#queue.finish(first.buffer);
    }
    return last;
  }

  /** Returns all buffers; their bytes stay. */
  returnBuffers(): void {
    for (const { buffer, left } of this.#pending.splice(0)) {
      this.#orphans += left;
      this.#queue.finish(buffer);
    }
  }
}
