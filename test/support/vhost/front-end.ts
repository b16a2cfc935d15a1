// The front-end side of a vhost-user connection, for tests: it can send anything, well-formed or not.
import { receiveWithDescriptors, sendWithDescriptors } from "../../../ffi/descriptors.ts";
import { EPOLLIN } from "../../../ffi/epoll.ts";
import { errno } from "../../../ffi/errno.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { addressOf } from "../../../ffi/libc.ts";
import type { Loop } from "../../../src/loop.ts";
import { messageRows } from "../../../src/vhost/messages.ts";
import * as p from "../../../src/vhost/payloads.ts";

export type Name = string;

const numbers = new Map(messageRows.map(({ name, request }) => [name, request]));

/** An answer as it arrived. */
export interface Received {
  readonly request: number;
  readonly flags: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly fds: Fd[];
}

export interface SendOptions {
  readonly fds?: readonly number[];
  readonly needReply?: boolean;
  readonly flags?: number;
  /** The size in the header, when it differs from that of the payload. */
  readonly size?: number;
}

export class FrontEnd implements Disposable {
  readonly #loop: Loop;
  readonly #socket: Fd;

  constructor(loop: Loop, socket: Fd) {
    this.#loop = loop;
    this.#socket = socket;
  }

  /** Sends bytes. The number of bytes sent, or a negative errno. */
  raw(bytes: Uint8Array<ArrayBuffer>, fds: readonly number[] = []): number {
    return sendWithDescriptors(this.#socket, addressOf(bytes), bytes.length, fds);
  }

  /** Sends a message. */
  send(name: Name | number, payload = none, options: SendOptions = {}): void {
    const request = typeof name === "number" ? name : numbers.get(name);
    if (request === undefined) throw new Error(`no request ${name}`);
    const message = new Uint8Array(new ArrayBuffer(p.header.size + payload.length));
    const header = p.header.over(message);
    header.request = request;
    header.flags =
      options.flags ?? p.VERSION | (options.needReply === true ? p.FLAG_NEED_REPLY : 0);
    header.size = options.size ?? payload.length;
    message.set(payload, p.header.size);
    const r = this.raw(message, options.fds);
    if (r !== message.length && r !== -errno.EPIPE)
      throw new Error(`sent ${r} of ${message.length}`);
  }

  /** The next answer; undefined when the back-end closed the connection. Throws after `limitMs`. */
  async receive(limitMs = 10_000): Promise<Received | undefined> {
    const header = new Uint8Array(new ArrayBuffer(p.header.size));
    const fds: Fd[] = [];
    if (!(await this.#fill(header, fds, limitMs))) return undefined;
    const { request, flags, size } = p.header.over(header);
    const bytes = new Uint8Array(new ArrayBuffer(size));
    if (size > 0 && !(await this.#fill(bytes, fds, limitMs))) return undefined;
    return { request, flags, bytes, fds };
  }

  async #fill(bytes: Uint8Array<ArrayBuffer>, fds: Fd[], limitMs: number): Promise<boolean> {
    let got = 0;
    while (got < bytes.length) {
      const r = receiveWithDescriptors(
        this.#socket,
        addressOf(bytes) + got,
        bytes.length - got,
        fds,
      );
      if (r === -errno.EAGAIN) await this.#readable(limitMs);
      else if (r === 0 || r === -errno.ECONNRESET) return false;
      else if (r < 0) throw new Error(`receiving: errno ${-r}`);
      else got += r;
    }
    return true;
  }

  async #readable(limitMs: number): Promise<void> {
    const { promise, resolve, reject } = this.#loop.promise<void>();
    using _watch = this.#loop.watch(this.#socket.number, EPOLLIN, () => resolve());
    using _limit = this.#loop.after(limitMs, () => reject(new Error(`no answer in ${limitMs} ms`)));
    await promise;
  }

  /** Sends a message that has an answer of its own, and receives the answer. */
  async ask(name: Name, payload = none, options: SendOptions = {}): Promise<Received> {
    this.send(name, payload, options);
    const got = await this.receive();
    if (got === undefined) throw new Error(`${name}: the connection was closed`);
    if (got.request !== numbers.get(name)) throw new Error(`${name}: answered ${got.request}`);
    return got;
  }

  /** Sends a message with need_reply. The word of the acknowledgement: 0 is success. */
  async acknowledged(name: Name, payload = none, options: SendOptions = {}): Promise<bigint> {
    const { bytes } = await this.ask(name, payload, { ...options, needReply: true });
    return p.word.over(bytes).value;
  }

  /** Sends a message whose answer is a word; the word. */
  async word(name: Name): Promise<bigint> {
    return p.word.over((await this.ask(name)).bytes).value;
  }

  /** Whether the back-end closed the connection, within `limitMs`. */
  async closed(limitMs = 10_000): Promise<boolean> {
    for (;;) {
      const got = await this.receive(limitMs);
      if (got === undefined) return true;
      for (const fd of got.fds) fd[Symbol.dispose]();
    }
  }

  /** Waits until the back-end has handled everything sent so far. */
  async settled(): Promise<void> {
    await this.word("GET_FEATURES");
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

const none: Uint8Array<ArrayBuffer> = new Uint8Array(new ArrayBuffer(0));

/** Makes payloads. */
export const payload = {
  word(value: bigint): Uint8Array<ArrayBuffer> {
    const word = p.word.alloc();
    word.value = value;
    return word.$bytes;
  },
  state(index: number, num: number): Uint8Array<ArrayBuffer> {
    const state = p.vringState.alloc();
    state.index = index;
    state.num = num;
    return state.$bytes;
  },
  addresses(
    index: number,
    at: { descriptors: bigint; available: bigint; used: bigint },
    log = 0n,
  ): Uint8Array<ArrayBuffer> {
    const address = p.vringAddr.alloc();
    address.index = index;
    address.descriptors = at.descriptors;
    address.available = at.available;
    address.used = at.used;
    address.log = log;
    return address.$bytes;
  },
  regions(
    rows: readonly { guest: bigint; size: bigint; user: bigint; offset: bigint }[],
    length = 8 + 32 * rows.length,
  ): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(new ArrayBuffer(Math.max(length, 8 + 32 * rows.length)));
    p.regions.over(bytes).count = rows.length;
    for (const [i, row] of rows.entries()) Object.assign(p.region.over(bytes, 8 + 32 * i), row);
    return bytes.subarray(0, length);
  },
  region(row: { guest: bigint; size: bigint; user: bigint; offset: bigint }) {
    const one = p.singleRegion.alloc();
    Object.assign(one, row);
    return one.$bytes;
  },
  config(offset: number, size: number, flags: number, length = size): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(new ArrayBuffer(12 + length));
    Object.assign(p.config.over(bytes), { offset, size, flags });
    return bytes;
  },
  inflight(size: number, offset: number, queues: number, queueSize: number, length = 24) {
    const bytes = new Uint8Array(new ArrayBuffer(length));
    Object.assign(p.inflight.over(bytes), {
      mmap_size: size,
      mmap_offset: offset,
      num_queues: queues,
      queue_size: queueSize,
    });
    return bytes;
  },
};
