// A stateful decoder without a kernel: the V4L2 memory-to-memory API as vicodec serves it, over memfds. It "decodes"
// FWHT frames to pictures that differ from each other: byte i is the frame's first body byte plus i.
import { EPOLLERR, EPOLLIN, EPOLLOUT, EPOLLPRI } from "../../ffi/epoll.ts";
import { errno } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import type { Ioctl } from "../../ffi/ioctl.ts";
import { viewOf } from "../../ffi/libc.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { Mapping } from "../../ffi/mapping.ts";
import type { Fields, Struct } from "../../ffi/struct.ts";
import { fourcc } from "../../src/format/formats.ts";
import type { Loop } from "../../src/loop.ts";
import type { AwaitedDevice } from "../../src/v4l2/device.ts";
import { BUFFER_AREA, FakeBitstream, type FakeBuffer, FakeQueue } from "./fake-decoder-queue.ts";

export interface FakeOptions {
  readonly multiplanar?: boolean;
  readonly userPointers?: boolean;
  /** QBUF refuses user pointers that REQBUFS took. */
  readonly refusesPointers?: boolean;
  /** The device takes dma-bufs: the memory of each, by its descriptor. */
  readonly dmabufs?: ReadonlyMap<number, { readonly address: number }>;
  /**
   * A picture is finished later than the call that began it, as in drivers of hardware: when its caller waits ("finishes"), or
   * not even then ("hangs"). STREAMOFF waits for the picture that is in work (v4l2-mem2mem.c, v4l2_m2m_cancel_job).
   */
  readonly late?: "finishes" | "hangs";
  /** START does not end EPIPE, as in vicodec. */
  readonly forgetsStart?: boolean;
  /** A call fails with its errno while it is in this map. */
  readonly faults?: Map<string, number>;
  /** Coded fourcc. */
  readonly coded?: string;
  readonly raw?: readonly string[];
  /** Controls by their ids; values can be set. */
  readonly controls?: Map<number, number>;
  /** Entries that menu controls have. */
  readonly menus?: ReadonlyMap<number, readonly number[]>;
}

/** All contexts of one fake device. */
export class FakeDecoder {
  readonly options: FakeOptions;
  readonly contexts: FakeContext[] = [];
  /** Copies and pointers seen at QBUF of pictures. */
  readonly calls = new Map<string, number>();
  /** How often user pointers were looked up; a buffer that is queued again with its old address is not. */
  pins = 0;
  constructor(options: FakeOptions = {}) {
    this.options = options;
  }
  open(): FakeContext {
    const context = new FakeContext(this);
    this.contexts.push(context);
    return context;
  }
  /** Lets every context work and calls its handlers until there is no more to do. Throws when that does not end. */
  settle(): void {
    for (let turn = 0; ; turn++) {
      if (turn > 10_000) throw new Error("the session spins");
      let woke = false;
      for (const context of this.contexts) woke = context.wake() || woke;
      if (!woke) return;
    }
  }
  /** Time passes: a late decoder finishes the picture it is working on. True when there was one. */
  finishLate(): boolean {
    let worked = false;
    for (const context of this.contexts) worked = context.finishLate() || worked;
    return worked;
  }
  /** What the session watches with. */
  readonly watcher: Pick<Loop, "watch"> = {
    watch: (fd, events, handler) => {
      const context = this.contexts.find((c) => !c.closed && c.fd === fd);
      if (context === undefined) throw new Error(`no context has descriptor ${fd}`);
      const watch = { events, handler };
      context.watch = watch;
      return {
        setEvents: (wanted) => {
          watch.events = wanted;
        },
        [Symbol.dispose]: () => {
          if (context.watch === watch) context.watch = undefined;
        },
      };
    },
  };
}

export class FakeContext implements AwaitedDevice {
  readonly path = "/dev/fake";
  watch: { events: number; handler: (events: number) => void } | undefined;
  closed = false;
  readonly #owner: FakeDecoder;
  readonly #fd = Fd.memory("fake-decoder", 2 * BUFFER_AREA);
  readonly #memory = new Mapping(this.#fd.number, 2 * BUFFER_AREA, "fake-decoder");
  readonly #in: FakeQueue;
  readonly #out: FakeQueue;
  readonly #bitstream: FakeBitstream;
  #events = 0;
  #known = false;
  #changed = false;
  #draining = false;
  #lastDequeued = false;
  #stopped = false;
  /** A late decoder has begun a picture. */
  #working = false;

  constructor(owner: FakeDecoder) {
    this.#owner = owner;
    const multi = owner.options.multiplanar ?? false;
    this.#in = new FakeQueue("output", multi, owner.options.coded ?? "FWHT");
    this.#out = new FakeQueue("capture", multi, this.#favourite);
    this.#bitstream = new FakeBitstream(this.#in);
  }

  get #favourite(): string {
    const { raw = [] } = this.#owner.options;
    return raw[0] ?? "YU12";
  }

  get fd(): number {
    return this.#fd.number;
  }
  wait(timeoutMs: number): void {
    const { late } = this.#owner.options;
    if (late !== "finishes" || !this.finishLate()) Bun.sleepSync(timeoutMs);
  }
  /** Finishes the picture in work; true when there was one. */
  finishLate(): boolean {
    if (!this.#working) return false;
    this.#working = false;
    this.#work(true);
    return true;
  }
  map(length: number, offset: number): Mapping {
    return new Mapping(this.#fd.number, length, this.path, undefined, offset);
  }

  ioctl<F extends Fields>(request: Ioctl<F>, argument: Struct<F>): number {
    const { calls, options } = this.#owner;
    calls.set(request.name, (calls.get(request.name) ?? 0) + 1);
    const fault = options.faults?.get(request.name);
    if (fault !== undefined) return -fault;
    const handler = this.#handlers[request.name];
    return handler === undefined ? -errno.ENOTTY : handler(argument);
  }

  // biome-ignore lint/suspicious/noExplicitAny: each handler knows the struct of its ioctl
  readonly #handlers: Record<string, (q: any) => number> = {
    VIDIOC_QUERYCAP: (q: Struct<typeof v.v4l2Capability.fields>) => {
      const multi = this.#owner.options.multiplanar ?? false;
      q.$bytes.set(new TextEncoder().encode("fake decoder"), 16);
      q.capabilities = v.V4L2_CAP_DEVICE_CAPS;
      q.device_caps =
        v.V4L2_CAP_STREAMING | (multi ? v.V4L2_CAP_VIDEO_M2M_MPLANE : v.V4L2_CAP_VIDEO_M2M);
      return 0;
    },
    VIDIOC_ENUM_FMT: (q: Struct<typeof v.v4l2Fmtdesc.fields>) => {
      const { coded = "FWHT", raw = ["YU12", "YV12", "NV12", "GREY"] } = this.#owner.options;
      const name = (q.type === this.#in.type ? [coded] : raw)[q.index];
      if (name === undefined) return -errno.EINVAL;
      q.pixelformat = fourcc(name);
      return 0;
    },
    VIDIOC_ENUM_FRAMESIZES: (q: Struct<typeof v.v4l2Frmsizeenum.fields>) => {
      if (q.index > 0) return -errno.EINVAL;
      q.type = 3;
      q["stepwise.min_width"] = 16;
      q["stepwise.max_width"] = 2048;
      q["stepwise.min_height"] = 16;
      q["stepwise.max_height"] = 2048;
      return 0;
    },
    VIDIOC_G_FMT: (q) => this.#queue(q.type).describe(q),
    VIDIOC_S_FMT: (q: Struct<typeof v.v4l2Format.fields>) => {
      const queue = this.#queue(q.type);
      if (queue.buffers.length > 0) return -errno.EBUSY;
      const clamp = (n: number) => Math.max(16, Math.min(2048, n || 1280));
      queue.width = clamp(q["fmt.pix.width"]);
      queue.height = clamp(q["fmt.pix.height"]);
      if (queue === this.#out) {
        const { raw = ["YU12", "YV12", "NV12"] } = this.#owner.options;
        const wanted = raw.find((name) => fourcc(name) === q["fmt.pix.pixelformat"]);
        queue.format = wanted ?? this.#favourite;
      }
      return queue.describe(q);
    },
    VIDIOC_G_SELECTION: (q: Struct<typeof v.v4l2Selection.fields>) => {
      if (q.target !== v.V4L2_SEL_TGT_COMPOSE) return -errno.EINVAL;
      q["r.width"] = this.#out.width - 2;
      q["r.height"] = this.#out.height - 2;
      return 0;
    },
    VIDIOC_G_CTRL: (q: Struct<typeof v.v4l2Control.fields>) => {
      const value = this.#owner.options.controls?.get(q.id);
      if (value === undefined && q.id !== v.V4L2_CID_MIN_BUFFERS_FOR_CAPTURE) return -errno.EINVAL;
      q.value = value ?? 2;
      return 0;
    },
    VIDIOC_S_CTRL: (q: Struct<typeof v.v4l2Control.fields>) => {
      const { controls } = this.#owner.options;
      if (controls?.has(q.id) !== true) return -errno.EINVAL;
      controls.set(q.id, q.value);
      return 0;
    },
    VIDIOC_QUERYMENU: (q: Struct<typeof v.v4l2Querymenu.fields>) =>
      this.#owner.options.menus?.get(q.id)?.includes(q.index) === true ? 0 : -errno.EINVAL,
    VIDIOC_SUBSCRIBE_EVENT: () => 0,
    VIDIOC_DQEVENT: (q: Struct<typeof v.v4l2Event.fields>) => {
      if (this.#events === 0) return -errno.ENOENT;
      this.#events--;
      q.type = v.V4L2_EVENT_SOURCE_CHANGE;
      q["u.src_change.changes"] = v.V4L2_EVENT_SRC_CH_RESOLUTION;
      return 0;
    },
    VIDIOC_REQBUFS: (q: Struct<typeof v.v4l2Requestbuffers.fields>) => {
      const queue = this.#queue(q.type);
      if (q.memory === v.V4L2_MEMORY_USERPTR && !this.#owner.options.userPointers)
        return -errno.EINVAL;
      if (q.memory === v.V4L2_MEMORY_DMABUF && !this.#owner.options.dmabufs) return -errno.EINVAL;
      return queue.request(q);
    },
    VIDIOC_QUERYBUF: (q: Struct<typeof v.v4l2Buffer.fields>) => this.#queue(q.type).locate(q),
    VIDIOC_QBUF: (q: Struct<typeof v.v4l2Buffer.fields>) => this.#queueBuffer(q),
    VIDIOC_DQBUF: (q: Struct<typeof v.v4l2Buffer.fields>) => this.#dequeueBuffer(q),
    VIDIOC_STREAMON: (q: { value: number }) => {
      const queue = this.#queue(q.value);
      // As in vicodec, buffers are read before the queue counts as streaming, so a header is announced again after
      // each STREAMOFF, even when pictures stream, and no last picture follows.
      if (queue === this.#in && !queue.streaming) this.#announceFirst();
      queue.streaming = true;
      this.#work();
      return 0;
    },
    VIDIOC_STREAMOFF: (q: { value: number }) => {
      const queue = this.#queue(q.value);
      this.finishLate();
      this.#working = false;
      queue.stop();
      if (queue === this.#in) {
        this.#bitstream.reset();
        this.#known = false;
      } else {
        this.#changed = false;
        this.#draining = false;
        this.#stopped = false;
        this.#lastDequeued = false;
      }
      return 0;
    },
    VIDIOC_DECODER_CMD: (q: { cmd: number }) => {
      if (!this.#in.streaming) return 0;
      if (q.cmd === v.V4L2_DEC_CMD_STOP) {
        this.#draining = true;
        this.#work();
        return 0;
      }
      this.#stopped = false;
      if (!this.#owner.options.forgetsStart) this.#lastDequeued = false;
      return 0;
    },
  };

  #queue(type: number): FakeQueue {
    if (type === this.#in.type) return this.#in;
    if (type === this.#out.type || type === v.V4L2_BUF_TYPE_VIDEO_CAPTURE) return this.#out;
    throw new Error(`buffer type ${type}`);
  }

  #queueBuffer(q: Struct<typeof v.v4l2Buffer.fields>): number {
    const queue = this.#queue(q.type);
    const buffer = queue.buffers[q.index];
    if (buffer === undefined || queue.queued.includes(buffer) || queue.done.includes(buffer))
      return -errno.EINVAL;
    const plane = queue.plane(q);
    if (queue.memory !== v.V4L2_MEMORY_MMAP) {
      const address = this.#address(queue, plane ?? q);
      if (address === 0) return -errno.EFAULT;
      if (address !== buffer.address) this.#owner.pins++;
      buffer.address = address;
      buffer.length = plane?.length ?? q.length;
      if (buffer.length < queue.size) return -errno.EINVAL;
    }
    buffer.bytesused = plane?.bytesused ?? q.bytesused;
    buffer.sec = q["timestamp.tv_sec"];
    buffer.usec = q["timestamp.tv_usec"];
    buffer.flags = 0;
    if (queue === this.#in && (buffer.bytesused < 1 || buffer.bytesused > buffer.length))
      return -errno.EINVAL;
    queue.queued.push(buffer);
    if (queue === this.#in)
      this.#bitstream.add(buffer, this.#bytes(queue, buffer, buffer.bytesused));
    this.#work();
    return 0;
  }

  /** Where memory of the caller is; 0 when it is refused. */
  #address({ memory }: FakeQueue, given: { "m.userptr": number; "m.fd": number }): number {
    const { refusesPointers = false, dmabufs } = this.#owner.options;
    if (memory === v.V4L2_MEMORY_DMABUF) return dmabufs?.get(given["m.fd"])?.address ?? 0;
    return refusesPointers ? 0 : given["m.userptr"];
  }

  /** The first bytes of a buffer. A view of all the memory would start a garbage collection with every second context. */
  #bytes({ memory }: FakeQueue, buffer: FakeBuffer, length = buffer.length): Uint8Array {
    const mapped = memory === v.V4L2_MEMORY_MMAP;
    return viewOf(mapped ? this.#memory.address + buffer.offset : buffer.address, length);
  }

  #dequeueBuffer(q: Struct<typeof v.v4l2Buffer.fields>): number {
    const queue = this.#queue(q.type);
    if (!queue.streaming) return -errno.EINVAL;
    if (queue === this.#out && this.#lastDequeued) return -errno.EPIPE;
    const buffer = queue.done.shift();
    if (buffer === undefined) return -errno.EAGAIN;
    q.index = buffer.index;
    q.flags = buffer.flags | 0x4000;
    q["timestamp.tv_sec"] = buffer.sec;
    q["timestamp.tv_usec"] = buffer.usec;
    const plane = queue.plane(q);
    if (plane === undefined) q.bytesused = buffer.bytesused;
    else plane.bytesused = buffer.bytesused;
    const second = queue === this.#out ? queue.planeSizes[1] : undefined;
    if (second !== undefined && plane !== undefined && buffer.bytesused > 0) {
      plane.bytesused = buffer.bytesused - second;
      const chroma = queue.plane(q, 1);
      if (chroma !== undefined) chroma.bytesused = second;
    }
    if (queue === this.#out && (buffer.flags & v.V4L2_BUF_FLAG_LAST) !== 0)
      this.#lastDequeued = true;
    return 0;
  }

  /** Decodes what it can. `begun`: the next picture was begun earlier, and is finished now. */
  #work(begun = false): void {
    if (!this.#in.streaming || this.#working) return;
    for (let finishes = begun; !this.#changed; finishes = false) {
      const frame = this.#bitstream.frame();
      if (!this.#out.streaming && this.#announceFirst()) return;
      if (!this.#out.streaming || this.#stopped) return;
      const [target] = this.#out.queued;
      if (frame === undefined) {
        if (this.#draining && target !== undefined) this.#finish(target, 0, v.V4L2_BUF_FLAG_LAST);
        return;
      }
      if (target === undefined) return;
      if (frame.width !== this.#out.width || frame.height !== this.#out.height) {
        this.#announce(frame.width, frame.height);
        this.#changed = true;
        this.#finish(target, 0, v.V4L2_BUF_FLAG_LAST);
        return;
      }
      if (this.#owner.options.late !== undefined && !finishes) {
        this.#working = true;
        return;
      }
      const source = this.#bitstream.consume(frame.size);
      target.sec = source?.sec ?? 0;
      target.usec = source?.usec ?? 0;
      const bytes = this.#bytes(this.#out, target);
      const length = this.#out.size;
      const broken = frame.body === 0xee;
      const { gap } = this.#out;
      const [luma = 0] = this.#out.planeSizes;
      for (let i = 0; i < length && !broken; i++) bytes[i < luma ? i : i + gap] = frame.body + i;
      const last =
        this.#draining && this.#bitstream.frame() === undefined ? v.V4L2_BUF_FLAG_LAST : 0;
      this.#finish(target, broken ? 0 : length, last | (broken ? v.V4L2_BUF_FLAG_ERROR : 0));
    }
  }

  #finish(target: FakeBuffer, bytesused: number, flags: number): void {
    target.bytesused = bytesused;
    target.flags = flags;
    this.#out.finish(target);
    if ((flags & v.V4L2_BUF_FLAG_LAST) !== 0 && !this.#changed) {
      this.#stopped = true;
      this.#draining = false;
    }
  }

  #announce(width: number, height: number): void {
    this.#out.width = width;
    this.#out.height = height;
    this.#out.format = this.#favourite; // not what was asked for
    this.#events++;
  }

  /** Announces the header at the start of a stream; true when there was one that had not been announced. */
  #announceFirst(): boolean {
    const header = this.#bitstream.header();
    if (this.#known || header === undefined) return false;
    this.#announce(header.width, header.height);
    this.#known = true;
    return true;
  }

  /** The events that poll() would report; calls the handler when it watches one of them. */
  wake(): boolean {
    if (this.closed || this.watch === undefined) return false;
    // A buffer that ends inside a frame is returned at once, because the kernel's decoder has copied its bytes.
    if (this.#out.streaming && this.#in.streaming && this.#bitstream.frame() === undefined)
      this.#bitstream.returnBuffers();
    const { events, handler } = this.watch;
    let ready = 0;
    const data = EPOLLIN | EPOLLOUT;
    if ((events & data) !== 0 && this.#in.idle && this.#out.idle && !this.#lastDequeued)
      ready = EPOLLERR;
    else {
      if (this.#in.done.length > 0) ready |= EPOLLOUT;
      if (this.#out.done.length > 0 || this.#lastDequeued) ready |= EPOLLIN;
    }
    if (this.#events > 0) ready |= EPOLLPRI;
    ready &= events | EPOLLERR;
    if (ready === 0 || events === 0) return false;
    handler(ready);
    return true;
  }

  [Symbol.dispose](): void {
    this.closed = true;
    this.#memory[Symbol.dispose]();
    this.#fd[Symbol.dispose]();
  }
}
