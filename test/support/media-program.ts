// What programs of a guest do with the camera, in terms of the driver: set a format, request buffers, map them, stream.
import * as v from "../../ffi/linux/videodev2.ts";
import { fourcc } from "../../src/format/formats.ts";
import { mmapAnswer } from "../../src/media/protocol.ts";
import { memEntry } from "../../src/virtio/guest-ranges.ts";
import { type MediaDriver, statusOf } from "./media-driver.ts";

const CAPTURE = v.V4L2_BUF_TYPE_VIDEO_CAPTURE;

export interface Format {
  readonly width: number;
  readonly height: number;
  readonly format: string;
}

/** One open file of the camera in the guest. */
export class MediaProgram {
  readonly driver: MediaDriver;
  readonly session: number;
  /** Where each buffer is mapped, by its index. */
  readonly addresses: bigint[] = [];

  constructor(driver: MediaDriver) {
    this.driver = driver;
    this.session = driver.open();
  }

  setFormat({ width, height, format }: Format) {
    return this.driver.ioctl(this.session, v.VIDIOC_S_FMT, (q) => {
      q.type = CAPTURE;
      q["fmt.pix.width"] = width;
      q["fmt.pix.height"] = height;
      q["fmt.pix.pixelformat"] = fourcc(format);
    });
  }

  request(count: number, memory: number = v.V4L2_MEMORY_MMAP) {
    return this.driver.ioctl(this.session, v.VIDIOC_REQBUFS, (q) => {
      q.count = count;
      q.type = CAPTURE;
      q.memory = memory;
    });
  }

  query(index: number, memory: number = v.V4L2_MEMORY_MMAP) {
    return this.driver.ioctl(this.session, v.VIDIOC_QUERYBUF, (q) => {
      q.index = index;
      q.type = CAPTURE;
      q.memory = memory;
    });
  }

  /** Maps a buffer; its place in the region. */
  map(index: number): bigint {
    const { q } = this.query(index);
    const sent = this.driver.mmap(this.session, q["m.offset"]);
    if (statusOf(sent) !== 0) throw new Error(`MMAP: ${statusOf(sent)}`);
    const { driver_addr } = sent.as(mmapAnswer);
    this.addresses[index] = driver_addr;
    return driver_addr;
  }

  queue(index: number, memory: number = v.V4L2_MEMORY_MMAP) {
    return this.driver.ioctl(this.session, v.VIDIOC_QBUF, (q) => {
      q.index = index;
      q.type = CAPTURE;
      q.memory = memory;
    });
  }

  /** QBUF of memory of the program, in pieces of a page. */
  queueUser(index: number, address: bigint, length: number, call = v.VIDIOC_QBUF) {
    const tail = scatterList(address, length);
    return this.driver.ioctl(
      this.session,
      call,
      (q) => {
        q.index = index;
        q.type = CAPTURE;
        q.memory = v.V4L2_MEMORY_USERPTR;
        q["m.userptr"] = 0x7f00_0000_0000 + index;
        q.length = length;
      },
      { tail, echo: 0 },
    );
  }

  on(): number {
    return this.driver.ioctl(this.session, v.VIDIOC_STREAMON, (q) => {
      q.value = CAPTURE;
    }).status;
  }

  off(): number {
    return this.driver.ioctl(this.session, v.VIDIOC_STREAMOFF, (q) => {
      q.value = CAPTURE;
    }).status;
  }

  /** Requests `count` buffers, maps and queues them, and starts the stream. */
  stream(count = 4): void {
    const { status, q } = this.request(count);
    if (status !== 0 || q.count !== count) throw new Error(`REQBUFS: ${status}, ${q.count}`);
    for (let i = 0; i < count; i++) this.map(i);
    for (let i = 0; i < count; i++) {
      const answer = this.queue(i);
      if (answer.status !== 0) throw new Error(`QBUF: ${answer.status}`);
    }
    if (this.on() !== 0) throw new Error("STREAMON failed");
  }

  /** The picture in a buffer, as the guest sees it. */
  bytes(index: number): Uint8Array<ArrayBuffer> {
    return this.driver.mapped(this.addresses[index] ?? -1n);
  }

  close(): void {
    this.driver.close(this.session);
  }
}

/** The entries for `length` bytes at `address`, a page each. */
export function scatterList(address: bigint, length: number, page = 4096): Uint8Array<ArrayBuffer> {
  const count = Math.ceil(length / page);
  const bytes = new Uint8Array(new ArrayBuffer(count * memEntry.size));
  for (let i = 0; i < count; i++) {
    const entry = memEntry.over(bytes, i * memEntry.size);
    entry.addr = address + BigInt(i * page);
    entry.length = Math.min(page, length - i * page);
  }
  return bytes;
}
