// The front-end's end of the back-end's socket, for tests: it maps what the back-end asks for in the region of a device, with the
// rules of QEMU 11.1.3 as they were measured. A range must be in the region, it must not overlap another, the file must be long
// enough, and only the very range that was mapped can be removed. A refusal is an answer of 1. QEMU ends by SIGSEGV when it is
// asked before the device was started or after it was stopped: `crashes` counts that.
import { receiveWithDescriptors, sendWithDescriptors } from "../../../ffi/descriptors.ts";
import { EPOLLIN } from "../../../ffi/epoll.ts";
import { endOf, type Fd } from "../../../ffi/fd.ts";
import { addressOf } from "../../../ffi/libc.ts";
import { Mapping } from "../../../ffi/mapping.ts";
import { socketPair } from "../../../ffi/socket.ts";
import type { Loop, Watch } from "../../../src/loop.ts";
import * as p from "../../../src/vhost/payloads.ts";

/** A file that is mapped in the region. */
export interface MappedBuffer {
  readonly length: number;
  readonly writable: boolean;
  /** The memory, as the guest sees it. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly mapping: Mapping;
}

/** A request of the back-end. */
export interface BackendRequest {
  readonly request: number;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
  readonly writable: boolean;
}

const MESSAGE = p.header.size + p.shmemRange.size;

export class BufferMonitor implements Disposable {
  /** By offset in the region. */
  readonly mapped = new Map<number, MappedBuffer>();
  /** All requests, in order. */
  readonly requests: BackendRequest[] = [];
  /** Whether requests are answered. The answers that were held back are sent when it is set to true. */
  #answering = true;
  /** Refuses everything. */
  refusing = false;
  /** The device was started and not stopped, as QEMU knows it. */
  started = false;
  crashes = 0;
  /** The end for the back-end; sent with SET_BACKEND_REQ_FD. */
  readonly theirs: Fd;
  readonly #ours: Fd;
  readonly #size: number;
  readonly #watch: Watch;
  #held: { readonly act: () => void; readonly fds: readonly Fd[] }[] = [];

  constructor(loop: Loop, size: number) {
    [this.#ours, this.theirs] = socketPair();
    this.#size = size;
    this.#watch = loop.watch(this.#ours.number, EPOLLIN, () => this.#onReady());
  }

  get answering(): boolean {
    return this.#answering;
  }
  set answering(on: boolean) {
    this.#answering = on;
    if (on) for (const { act } of this.#held.splice(0)) act();
  }

  /** Requests that were not answered. */
  get waiting(): number {
    return this.#held.length;
  }

  /** Sends any bytes to the back-end. */
  raw(bytes: Uint8Array<ArrayBuffer>, fds: readonly number[] = []): void {
    sendWithDescriptors(this.#ours, addressOf(bytes), bytes.length, fds);
  }

  /** What the device's reset does. */
  removeAll(): void {
    for (const { mapping } of this.mapped.values()) mapping[Symbol.dispose]();
    this.mapped.clear();
  }

  #onReady(): void {
    const bytes = new Uint8Array(new ArrayBuffer(MESSAGE));
    const fds: Fd[] = [];
    const r = receiveWithDescriptors(this.#ours, addressOf(bytes), MESSAGE, fds);
    if (r < MESSAGE) {
      for (const fd of fds) fd[Symbol.dispose]();
      this.#watch.setEvents(0); // the back-end closed it
      return;
    }
    const { request, flags } = p.header.over(bytes);
    const range = p.shmemRange.over(bytes, p.header.size);
    const { offset, length } = range;
    const writable = (range.flags & p.SHMEM_WRITABLE) !== 0;
    this.requests.push({ request, flags, offset, length, writable });
    if (!this.started) this.crashes += 1;
    const act = () => {
      const done = this.#act(request, offset, length, writable, fds);
      for (const fd of fds) fd[Symbol.dispose]();
      this.answer(request, done ? 0n : 1n);
    };
    if (this.#answering) act();
    else this.#held.push({ act, fds });
  }

  #act(request: number, offset: number, length: number, writable: boolean, fds: Fd[]): boolean {
    if (this.refusing || offset + length > this.#size || length < 1) return false;
    if (request === p.SHMEM_UNMAP) {
      const found = this.mapped.get(offset);
      if (found?.length !== length) return false;
      found.mapping[Symbol.dispose]();
      return this.mapped.delete(offset);
    }
    const [fd] = fds;
    if (request !== p.SHMEM_MAP || fd === undefined || endOf(fd.number) < length) return false;
    for (const [other, { length: bytes }] of this.mapped) {
      if (offset < other + bytes && other < offset + length) return false;
    }
    const mapping = new Mapping(fd.number, length, "mapped buffer");
    this.mapped.set(offset, { length, writable, bytes: mapping.bytes, mapping });
    return true;
  }

  /** Sends an answer: 0 means that it was done. */
  answer(request: number, value: bigint, flags = p.ANSWER_FLAGS): void {
    const message = new Uint8Array(new ArrayBuffer(p.header.size + p.word.size));
    Object.assign(p.header.over(message), { request, flags, size: p.word.size });
    p.word.over(message, p.header.size).value = value;
    this.raw(message);
  }

  [Symbol.dispose](): void {
    this.removeAll();
    for (const { fds } of this.#held.splice(0)) for (const fd of fds) fd[Symbol.dispose]();
    this.#watch[Symbol.dispose]();
    this.#ours[Symbol.dispose]();
    this.theirs[Symbol.dispose]();
  }
}
