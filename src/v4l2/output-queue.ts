// The buffers of an output node. MMAP: pictures are copied into the driver's memory. DMABUF and USERPTR: the first buffers
// have memory of ours for pictures that are copied; each of the others shows the frames of one admitted buffer where they are.
import { monotonicUs } from "../../ffi/clock.ts";
import { copyMemory } from "../../ffi/copy.ts";
import { EPOLLET, EPOLLOUT } from "../../ffi/epoll.ts";
import { errno, must, SysError } from "../../ffi/errno.ts";
import { endOf } from "../../ffi/fd.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import type { Memory } from "../../ffi/mapping.ts";
import { log } from "../cli/log.ts";
import { MemoryRefused, UnavailableError } from "../errors.ts";
import { type FrameBuffer, memfdAllocator } from "../frame/memory.ts";
import type { Watch } from "../loop.ts";
import type { Buffers } from "./buffers.ts";
import { dmabufBuffers } from "./buffers-dmabuf.ts";
import { mapPlanes } from "./buffers-mmap.ts";
import { userptrBuffers } from "./buffers-userptr.ts";
import { unavailable } from "./device.ts";
import type { OutputDevice, OutputNode } from "./output-device.ts";
import type { NodeFormat } from "./output-format.ts";
import type { Lending, Lent, OutputStream } from "./output-lending.ts";
import { MAX_BUFFERS, type MemoryType, NOT_QUEUED, type PlaneMemory, Queue } from "./queue.ts";

/** One is shown, one is next, one is being filled, one is spare. */
const OWN = 4;
const NONE = -1;

/** A buffer of the queue: whose picture the driver has in it. */
interface Slot {
  /** Index of our memory, or NONE. */
  own: number;
  /** Index of the admitted buffer, or NONE. */
  lent: number;
  /** The driver keeps the memory of an admitted buffer until another picture comes into this slot. */
  foreign: boolean;
  /** That memory. */
  kept: readonly PlaneMemory[] | undefined;
}

export class OutputQueue implements OutputStream {
  readonly format: NodeFormat;
  lentCount = 0;
  readonly #path: string;
  readonly #memory: MemoryType;
  readonly #queue: Queue<"output">;
  readonly #owned = new DisposableStack();
  readonly #buffers: Pick<Buffers, "mappings" | "given" | "begin" | "end">;
  readonly #slots: readonly Slot[];
  /** Indices of our memory that the driver does not have; `#freeCount` of them. */
  readonly #free: number[];
  #freeCount: number;
  readonly #payload;
  readonly #lending: Lending | undefined;
  readonly #why: string;
  readonly #watch: Watch | undefined;
  #saidRefused = false;
  /** What QBUF takes along for each admitted buffer. */
  readonly #admitted: (readonly PlaneMemory[] | undefined)[] = [];

  /**
   * `lending` is for DMABUF and USERPTR; `why` says why there are no dma-bufs, or no `lending`. Throws MemoryRefused where the
   * driver or this host has no memory of that type, otherwise UnavailableError.
   */
  constructor(
    node: OutputNode,
    device: OutputDevice,
    format: NodeFormat,
    memory: MemoryType,
    { lending, why = "" }: { readonly lending?: Lending; readonly why?: string } = {},
  ) {
    this.format = format;
    this.#path = node.path;
    this.#memory = memory;
    this.#lending = lending;
    this.#why = why;
    this.#payload = {
      bytesused: [...format.memory],
      tsSec: 0,
      tsUsec: 0,
      field: v.V4L2_FIELD_NONE,
    };
    using owned = new DisposableStack();
    this.#queue = new Queue(node, "output", device.multiplanar);
    const count = this.#request(owned);
    const own = memory === "mmap" ? count : OWN;
    this.#buffers = this.#makeBuffers(own, owned);
    this.#free = Array.from({ length: own }, (_, index) => own - 1 - index);
    this.#freeCount = own;
    this.#slots = Array.from({ length: count }, () => ({
      own: NONE,
      lent: NONE,
      foreign: false,
      kept: undefined,
    }));
    owned.defer(() => this.#stop());
    if (memory !== "mmap") this.#probe();
    this.#watch = lending && owned.use(lending.loop.watch(node.fd, 0, () => this.#onWritable()));
    this.#owned = owned.move();
  }

  #request(owned: DisposableStack): number {
    const { length } = this.format.memory;
    const mmap = this.#memory === "mmap";
    const count = this.#queue.request(mmap ? OWN : MAX_BUFFERS, this.#memory, length);
    if (count < 0) throw this.#refused("VIDIOC_REQBUFS", count);
    owned.defer(() => this.#queue.free()); // runs last: the driver keeps buffers that are mapped
    if (count >= (mmap ? 1 : OWN + 1) && count <= 64) return count;
    const text = `VIDIOC_REQBUFS ${this.#path}: the driver gave ${count} buffers`;
    if (mmap) throw new UnavailableError(text);
    throw new MemoryRefused(new SysError("VIDIOC_REQBUFS", this.#path, errno.ENOBUFS), text);
  }

  /** With MMAP there is no other memory type to try. */
  #refused(call: string, r: number): UnavailableError {
    if (this.#memory === "mmap") return unavailable(new SysError(call, this.#path, -r), "output");
    return new MemoryRefused(
      new SysError(call, `${this.#path} (${this.#memory.toUpperCase()})`, -r),
      "",
    );
  }

  #makeBuffers(count: number, owned: DisposableStack) {
    const { memory, sizes } = this.format;
    if (this.#memory === "userptr") return owned.use(userptrBuffers(count, sizes, memfdAllocator));
    if (this.#memory === "mmap") {
      const mappings = Array.from({ length: count }, (_, index) =>
        mapPlanes(this.#queue, index, owned, memory),
      );
      return { mappings, given: [], begin: () => undefined, end: () => undefined };
    }
    try {
      if (this.#lending === undefined) throw new RangeError("dma-bufs without a heap");
      return owned.use(dmabufBuffers(this.#queue, count, sizes, this.#lending.openHeap()));
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      throw new MemoryRefused(error, "");
    }
  }

  /** Whether the driver takes our memory: it says so at QBUF. Nothing is shown before STREAMON. */
  #probe(): void {
    const r = this.#queue.queueFilled(0, this.#payload, this.#buffers.given[0]);
    if (r < 0) throw this.#refused("VIDIOC_QBUF", r);
    this.#queue.stop();
  }

  put(address: number, bytes: number): boolean {
    this.#takeBack();
    if (this.#freeCount === 0) return false;
    const own = this.#free[this.#freeCount - 1] ?? 0;
    this.#fill(own, address, bytes);
    const index = this.#slotFor(own);
    must(this.#enqueue(index, this.#buffers.given[own]), "VIDIOC_QBUF", this.#path);
    const slot = this.#slots[index] as Slot;
    slot.own = own;
    slot.foreign = false;
    this.#freeCount -= 1;
    this.#queue.start();
    return true;
  }

  #fill(own: number, address: number, bytes: number): void {
    const planes = this.#buffers.mappings[own] as readonly Memory[];
    let done = 0;
    this.#buffers.begin(own);
    for (let i = 0; i < planes.length; i++) {
      const length = Math.min(bytes - done, this.format.memory[i] ?? 0);
      copyMemory(planes[i]?.address ?? 0, address + done, length);
      this.#payload.bytesused[i] = length;
      done += length;
    }
    this.#buffers.end(own);
  }

  /** A slot for our memory: one in which the driver still keeps memory of a stream that has ended, so that it lets go of it. */
  #slotFor(own: number): number {
    for (let i = OWN; i < this.#slots.length; i++) {
      const free = this.#slots[i]?.foreign === true && !this.#queue.isQueued(i);
      if (free && this.#admitted[i - OWN] === undefined) return i;
    }
    return own;
  }

  #enqueue(index: number, given: readonly PlaneMemory[] | undefined): number {
    const nowUs = monotonicUs();
    this.#payload.tsSec = Math.floor(nowUs / 1e6);
    this.#payload.tsUsec = nowUs % 1e6;
    return this.#queue.queueFilled(index, this.#payload, given);
  }

  admit(index: number, { fd, dmaBuf, mapping }: FrameBuffer): string | undefined {
    const needs = this.format.sizes[0] ?? 0;
    if (this.#memory === "mmap") return this.#why;
    if (this.#memory === "userptr" && dmaBuf) return this.#why;
    if (this.#memory === "dmabuf" && (!dmaBuf || fd === undefined))
      return "its memory is no dma-buf";
    if (index >= this.#slots.length - OWN) return `it has more than ${index} buffers`;
    const length = this.#memory === "dmabuf" && fd ? endOf(fd.number) : mapping.length;
    if (this.#memory === "userptr" && this.#keeps(this.#slots[OWN + index], mapping))
      return "the driver still has memory of an earlier sender at the same address";
    if (length < needs) return `its buffers have ${length} bytes, ${this.#path} needs ${needs}`;
    this.#admitted[index] =
      this.#memory === "dmabuf" && fd
        ? [{ fd: fd.number, length }]
        : [{ address: mapping.address, length }];
    return undefined;
  }

  /** A driver does not look up the pages of an address and length that it has in that slot already. */
  #keeps(slot: Slot | undefined, { address, length }: Memory): boolean {
    const kept = slot?.foreign === true ? slot.kept?.[0] : undefined;
    return (
      kept !== undefined && "address" in kept && kept.address === address && kept.length === length
    );
  }

  lend(index: number, bytes: number): Lent {
    const given = this.#admitted[index];
    const at = OWN + index;
    this.#takeBack();
    // A sender may use a buffer again that was not returned in time.
    if (given === undefined || this.#queue.isQueued(at)) return "refused";
    if (this.#queue.queuedCount >= OWN) return "full";
    this.#payload.bytesused[0] = bytes;
    const r = this.#enqueue(at, given);
    if (r === -errno.ENODEV) throw new SysError("VIDIOC_QBUF", this.#path, -r);
    if (r < 0) return this.#refuse(index, r);
    const slot = this.#slots[at] as Slot;
    slot.lent = index;
    slot.foreign = true;
    slot.kept = given;
    this.lentCount += 1;
    this.#queue.start();
    // Edge-triggered: some kernels report an output as writable while it has no finished buffer.
    this.#watch?.setEvents((EPOLLOUT | EPOLLET) >>> 0);
    return "held";
  }

  /** The driver does not take the memory of admitted buffer `index`. */
  #refuse(index: number, r: number): "refused" {
    this.#admitted[index] = undefined;
    const { message } = this.#refused("VIDIOC_QBUF", r);
    if (!this.#saidRefused) log.info(`${message}; each frame is copied once`);
    this.#saidRefused = true;
    return "refused";
  }

  dismiss(): void {
    this.#admitted.length = 0;
    this.#watch?.setEvents(0);
    this.lentCount = 0;
    for (const slot of this.#slots) slot.lent = NONE;
  }

  #onWritable(): void {
    try {
      this.#takeBack();
    } catch (error) {
      this.#lending?.failed(error);
    }
  }

  /** Takes back the buffers that were shown. */
  #takeBack(): void {
    if (!this.#queue.streaming) return;
    for (;;) {
      const index = this.#queue.dequeue();
      if (index === -errno.EAGAIN) return;
      if (index === NOT_QUEUED)
        throw new UnavailableError(
          `VIDIOC_DQBUF ${this.#path}: the driver returned buffer ${this.#queue.index}, which it did not have`,
        );
      if (index < 0) throw new SysError("VIDIOC_DQBUF", this.#path, -index);
      this.#settle(this.#slots[index] as Slot);
    }
  }

  #settle(slot: Slot): void {
    const { own, lent } = slot;
    slot.own = NONE;
    slot.lent = NONE;
    if (own !== NONE) this.#free[this.#freeCount++] = own;
    if (lent === NONE) return;
    this.lentCount -= 1;
    this.#lending?.returned(lent);
  }

  /** The driver returns every buffer. */
  #stop(): void {
    this.#queue.stop();
    for (const slot of this.#slots) this.#settle(slot);
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}
