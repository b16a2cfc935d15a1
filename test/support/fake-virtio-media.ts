// A camera whose driver has the virtio-media ioctls, and the driver of the other domain, over memfds: two devices that
// share a table of exported buffers. Every ioctl can be set to fail. It cannot show: grants, DMA, a real vb2 queue.
import { Signal } from "../../ffi/epoll.ts";
import { errno } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import type { Ioctl } from "../../ffi/ioctl.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import * as k from "../../ffi/linux/virtio-media.ts";
import { Mapping, pageSize } from "../../ffi/mapping.ts";
import type { Fields, Struct } from "../../ffi/struct.ts";
import { StampedBuffer } from "../../src/format/stamp.ts";
import type { VideoDevice } from "../../src/v4l2/device.ts";

type Of<T extends Ioctl<Fields>> = T extends Ioctl<infer F> ? Struct<F> : never;

/** The buffers that the two drivers share. */
export class Hypervisor {
  /** Exported and not released: handle -> memory. */
  readonly exported = new Map<bigint, Fd>();
  /** The domain each handle was granted to. */
  readonly granted = new Map<bigint, number>();
  readonly references: 4000 | 512;
  pageBytes = pageSize;
  /** The `len` of every answer to IMPORT. */
  readonly answers: number[] = [];
  /** Finds memory that no driver of ours exported, by the granting domain and its references. */
  foreign: (domain: number, references: readonly number[]) => Fd | undefined = () => undefined;
  /** How many references a grant answers; without it, one for each page. */
  grants: number | undefined;
  #next = 0x1_0000_0001n; // handles use both words

  constructor(references: 4000 | 512 = 4000) {
    this.references = references;
  }

  add(memory: Fd): bigint {
    this.#next += 1n;
    this.exported.set(this.#next, memory);
    return this.#next;
  }
}

/** One domain's device. */
export class FakeVirtioMedia implements VideoDevice {
  readonly path = "/dev/video7";
  readonly calls: string[] = [];
  /** ioctl name -> errno it fails with. */
  readonly fail = new Map<string, number>();
  readonly #hypervisor: Hypervisor;
  readonly #picture: { readonly width: number; readonly height: number };
  readonly #ready = new Signal(true);
  #memory: Fd[] = [];
  #maps: Mapping[] = [];
  #stamps: StampedBuffer[] = [];
  #queued: number[] = [];
  #streaming = false;
  #sequence = 0;

  constructor(hypervisor: Hypervisor, picture = { width: 64, height: 32 }) {
    this.#hypervisor = hypervisor;
    this.#picture = picture;
  }

  get sizeimage(): number {
    return this.#picture.width * this.#picture.height * 2;
  }
  get fd(): number {
    return this.#ready.fd;
  }

  map(length: number, offset: number): Mapping {
    const memory = this.#memory[offset / 0x1000_0000];
    if (memory === undefined) throw new Error(`no buffer at ${offset}`);
    return new Mapping(memory.number, length, this.path);
  }

  ioctl<F extends Fields>(request: Ioctl<F>, argument: Struct<F>): number {
    this.calls.push(request.name);
    const failure = this.fail.get(request.name);
    if (failure !== undefined) return -failure;
    const serve = this.#served.get(request.code);
    return serve === undefined ? -errno.ENOTTY : serve(argument as never);
  }

  readonly #served = new Map<number, (argument: never) => number>([
    [
      v.VIDIOC_QUERYCAP.code,
      (a: Of<typeof v.VIDIOC_QUERYCAP>) => {
        a.capabilities = v.V4L2_CAP_VIDEO_CAPTURE | v.V4L2_CAP_STREAMING;
        return 0;
      },
    ],
    [
      v.VIDIOC_S_FMT.code,
      (a: Of<typeof v.VIDIOC_S_FMT>) => {
        const { width, height } = this.#picture;
        a["fmt.pix.width"] = width;
        a["fmt.pix.height"] = height;
        a["fmt.pix.bytesperline"] = width * 2;
        a["fmt.pix.sizeimage"] = this.sizeimage;
        return 0;
      },
    ],
    [v.VIDIOC_REQBUFS.code, (a: Of<typeof v.VIDIOC_REQBUFS>) => this.#request(a)],
    [
      v.VIDIOC_QUERYBUF.code,
      (a: Of<typeof v.VIDIOC_QUERYBUF>) => {
        a["m.offset"] = a.index * 0x1000_0000;
        a.length = this.sizeimage;
        return 0;
      },
    ],
    [
      v.VIDIOC_QBUF.code,
      (a: Of<typeof v.VIDIOC_QBUF>) => {
        if (this.#queued.includes(a.index)) return -errno.EINVAL;
        this.#queued.push(a.index);
        this.#ready.raise();
        return 0;
      },
    ],
    [v.VIDIOC_DQBUF.code, (a: Of<typeof v.VIDIOC_DQBUF>) => this.#dequeue(a)],
    [
      v.VIDIOC_STREAMON.code,
      () => {
        this.#streaming = true;
        return 0;
      },
    ],
    [
      v.VIDIOC_STREAMOFF.code,
      () => {
        this.#streaming = false;
        this.#queued = [];
        return 0;
      },
    ],
    [
      k.VIDIOC_VIRTIO_MEDIA_EXPORT_BUFFER.code,
      (a: Of<typeof k.VIDIOC_VIRTIO_MEDIA_EXPORT_BUFFER>) => {
        const memory = this.#memory[a.buffer_index];
        if (a.queue_type !== 1 || a.plane_index !== 0 || memory === undefined) return -errno.EINVAL;
        a.handle_id = this.#hypervisor.add(memory);
        a.len = BigInt(this.sizeimage);
        a.plane_count = 1;
        return 0;
      },
    ],
    [
      k.VIDIOC_VIRTIO_MEDIA_RELEASE_HANDLE.code,
      (a: Of<typeof k.VIDIOC_VIRTIO_MEDIA_RELEASE_HANDLE>) =>
        this.#hypervisor.exported.delete(a.handle_id) ? 0 : -errno.ENOENT,
    ],
    [
      k.VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER.code,
      (a: Of<typeof k.VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER>) => this.#import(a, 4000),
    ],
    [
      k.VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER_512.code,
      (a: Of<typeof k.VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER_512>) => this.#import(a, 512),
    ],
  ]);

  #request(a: Of<typeof v.VIDIOC_REQBUFS>): number {
    if (a.memory !== v.V4L2_MEMORY_MMAP) return -errno.EINVAL;
    this.#free();
    for (let i = 0; i < a.count; i++) {
      const memory = Fd.memory("fake camera", this.sizeimage);
      const mapping = new Mapping(memory.number, this.sizeimage, "fake camera");
      this.#memory.push(memory);
      this.#maps.push(mapping);
      this.#stamps.push(new StampedBuffer(mapping.bytes));
    }
    return 0;
  }

  #dequeue(a: Of<typeof v.VIDIOC_DQBUF>): number {
    const index = this.#streaming ? this.#queued.shift() : undefined;
    if (index === undefined) {
      this.#ready.clear();
      return -errno.EAGAIN;
    }
    a.index = index;
    a.bytesused = this.sizeimage;
    a.sequence = this.#sequence;
    a.flags = v.V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    this.#stamps[index]?.write(this.#sequence);
    this.#sequence += 1;
    return 0;
  }

  #import(a: Of<typeof k.VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER>, references: number): number {
    const { exported, granted } = this.#hypervisor;
    if (references !== this.#hypervisor.references) return -errno.ENOTTY;
    if (a.flags === k.VIRTIO_MEDIA_DIRECT_GREFS && !exported.has(a.handle_id))
      return this.#importForeign(a);
    const memory = exported.get(a.handle_id);
    if (memory === undefined) return -errno.EINVAL;
    const pages = Math.ceil(this.sizeimage / pageSize);
    if (a.flags === k.VIRTIO_MEDIA_TARGET_DOMID) {
      granted.set(a.handle_id, a.gref_domid);
      a.gref_count = this.#hypervisor.grants ?? pages;
      a.gref_page_size = this.#hypervisor.pageBytes;
      a.gref_domid = 3; // the granting domain
      this.#answerPages(a);
      for (let i = 0; i < Math.min(a.gref_count, references); i++) {
        a.gref_ids.set(i, Number(a.handle_id & 0xffffn) * 1000 + i);
      }
      return 0;
    }
    if (a.flags !== k.VIRTIO_MEDIA_DIRECT_GREFS || a.gref_domid !== 3) return -errno.EINVAL;
    for (let i = 0; i < a.gref_count; i++) {
      if (a.gref_ids.get(i) !== Number(a.handle_id & 0xffffn) * 1000 + i) return -errno.EINVAL;
    }
    if (a.gref_count < pages || a.len !== BigInt(this.sizeimage)) return -errno.EINVAL;
    this.#answerPages(a);
    // Readable and writable. As from a system call, the caller closes it.
    a.dmabuf_fd = disown(memory);
    return 0;
  }

  #importForeign(a: Of<typeof k.VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER>): number {
    const references = Array.from({ length: a.gref_count }, (_, i) => a.gref_ids.get(i));
    const memory = this.#hypervisor.foreign(a.gref_domid, references);
    if (memory === undefined) return -errno.EINVAL;
    this.#answerPages(a);
    a.dmabuf_fd = disown(memory);
    return 0;
  }

  /** The public driver's `len`: not the picture's bytes, all bytes of the pages. */
  #answerPages(a: Of<typeof k.VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER>): void {
    const length = a.gref_count * a.gref_page_size;
    a.len = BigInt(length);
    this.#hypervisor.answers.push(length);
  }

  #free(): void {
    for (const mapping of this.#maps) mapping[Symbol.dispose]();
    for (const memory of this.#memory) memory[Symbol.dispose]();
    this.#maps = [];
    this.#memory = [];
    this.#stamps = [];
    this.#queued = [];
  }

  [Symbol.dispose](): void {
    this.#free();
    this.#ready[Symbol.dispose]();
  }
}

/** A duplicate of a descriptor that the caller must close. */
export function disown(fd: Fd): number {
  return Fd.duplicate(fd.number, fd.name).number;
}
