// The socket over which the back-end asks the front-end: vhost-user, "Back-end message types". One request is in flight at a time,
// and nothing waits for its answer: the front-end may at the same time wait for an answer of ours on the other socket.
// Requests are sent while the device runs only: QEMU 11.1.3 is ended by SIGSEGV when one arrives before or after that.
import { receiveWithDescriptors, sendWithDescriptors } from "../../ffi/descriptors.ts";
import { EPOLLIN, EPOLLOUT } from "../../ffi/epoll.ts";
import { errno, SysError } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import type { Watch } from "../loop.ts";
import type { DeviceLoop } from "../virtio/virtio-device.ts";
import * as p from "./payloads.ts";

/** How a request ended. "lost": the socket was lost after the request was sent, so what the front-end did is not known. */
export type Outcome = "done" | "refused" | "lost";

export interface ChannelRequest {
  readonly request: number;
  readonly payload: Uint8Array<ArrayBuffer>;
  /** Sent with it, and closed then. */
  readonly fd?: Fd;
  readonly ended: (outcome: Outcome) => void;
}

const ANSWER_BYTES = p.header.size + p.word.size;

export class BackendChannel implements Disposable {
  readonly #socket: Fd;
  readonly #watch: Watch;
  readonly #lost: (reason: string) => void;
  #waiting: ChannelRequest[] = [];
  #inFlight: ChannelRequest | undefined;
  /** The part of the request in flight that the socket did not take yet. */
  #unsent: Uint8Array<ArrayBuffer> | undefined;
  readonly #input = new Uint8Array(new ArrayBuffer(ANSWER_BYTES));
  readonly #inputAt = addressOf(this.#input);
  #got = 0;
  #open = true;
  #running: boolean;

  /**
   * Owns `socket`. `running` is whether the device runs now. Calls `lost` once when the socket cannot be used any more, before
   * the requests end. Throws SysError.
   */
  constructor(loop: DeviceLoop, socket: Fd, running: boolean, lost: (reason: string) => void) {
    this.#socket = socket;
    this.#running = running;
    this.#lost = lost;
    this.#watch = loop.watch(socket.number, EPOLLIN, () => this.#onReady());
  }

  /** The device runs or stops. While it stops, requests wait. */
  set running(on: boolean) {
    this.#running = on;
    this.#next();
  }

  /** Sends a request, after those that were asked before. */
  ask(request: ChannelRequest): void {
    if (!this.#open) throw new Error("the channel is closed");
    this.#waiting.push(request);
    this.#next();
  }

  /** Drops a request that was not sent yet; its `ended` is not called. Returns false when it was sent. */
  cancel(request: ChannelRequest): boolean {
    const at = this.#waiting.indexOf(request);
    if (at < 0) return false;
    this.#waiting.splice(at, 1);
    request.fd?.[Symbol.dispose]();
    return true;
  }

  /** Drops all requests that were not sent yet; their `ended` is not called. */
  cancelAll(): void {
    for (const { fd } of this.#waiting.splice(0)) fd?.[Symbol.dispose]();
  }

  #next(): void {
    if (!this.#open || !this.#running || this.#inFlight !== undefined) return;
    const request = this.#waiting.shift();
    if (request === undefined) return;
    this.#inFlight = request;
    const { payload } = request;
    const message = new Uint8Array(new ArrayBuffer(p.header.size + payload.length));
    const header = p.header.over(message);
    header.request = request.request;
    header.flags = p.VERSION | p.FLAG_NEED_REPLY;
    header.size = payload.length;
    message.set(payload, p.header.size);
    this.#unsent = message;
    this.#send();
  }

  /** Sends what the socket takes of the request in flight. */
  #send(): void {
    const [rest, request] = [this.#unsent, this.#inFlight];
    if (rest === undefined || request === undefined) return;
    // The descriptor goes with the first byte.
    const { fd } = request;
    const fds = fd === undefined || fd.closed ? [] : [fd.number];
    const r = sendWithDescriptors(this.#socket, addressOf(rest), rest.length, fds);
    if (r < 0 && r !== -errno.EAGAIN) {
      this.#lose(new SysError("sendmsg", this.#socket.name, -r).message);
      return;
    }
    if (r > 0) fd?.[Symbol.dispose]();
    const left = rest.slice(Math.max(r, 0));
    this.#unsent = left.length > 0 ? left : undefined;
    this.#watch.setEvents(this.#unsent === undefined ? EPOLLIN : EPOLLIN | EPOLLOUT);
  }

  #onReady(): void {
    this.#send();
    while (this.#open && this.#receive());
  }

  /** Receives a part of an answer. False when there is nothing to read now. */
  #receive(): boolean {
    const fds: Fd[] = [];
    const at = this.#inputAt + this.#got;
    const r = receiveWithDescriptors(this.#socket, at, ANSWER_BYTES - this.#got, fds);
    for (const fd of fds) fd[Symbol.dispose]();
    if (r === -errno.EAGAIN) return false;
    if (r === 0) return this.#lose("the front-end closed it");
    if (r < 0) return this.#lose(new SysError("recvmsg", this.#socket.name, -r).message);
    if (fds.length > 0) return this.#lose("an answer has descriptors");
    this.#got += r;
    if (this.#got < p.header.size) return true;
    const wrong = this.#wrong();
    if (wrong !== undefined) return this.#lose(wrong);
    if (this.#got < ANSWER_BYTES) return true;
    this.#got = 0;
    const ended = this.#inFlight?.ended;
    this.#inFlight = undefined;
    const refused = p.word.over(this.#input, p.header.size).value !== 0n;
    ended?.(refused ? "refused" : "done");
    this.#next();
    return true;
  }

  /** What is wrong with the header of an answer. */
  #wrong(): string | undefined {
    const { request, flags, size } = p.header.over(this.#input);
    const version = flags & p.VERSION_MASK;
    if (version !== p.VERSION) return `a message of version ${version}`;
    if ((flags & p.FLAG_REPLY) === 0) return `request ${request}, where only answers are expected`;
    if (this.#inFlight === undefined || this.#unsent !== undefined) {
      return `an answer to request ${request}, which was not asked`;
    }
    if (request !== this.#inFlight.request) {
      return `an answer to request ${request} instead of ${this.#inFlight.request}`;
    }
    return size === p.word.size ? undefined : `an answer of ${size} bytes`;
  }

  #lose(reason: string): false {
    if (!this.#open) return false;
    const sent = this.#close();
    this.#lost(reason);
    sent();
    return false;
  }

  /** Closes everything. Returns what ends the requests: those not sent are refused. */
  #close(): () => void {
    this.#open = false;
    this.#watch[Symbol.dispose]();
    this.#socket[Symbol.dispose]();
    const waiting = this.#waiting.splice(0);
    const inFlight = this.#inFlight;
    this.#inFlight = undefined;
    for (const { fd } of [inFlight ?? {}, ...waiting] as { fd?: Fd }[]) fd?.[Symbol.dispose]();
    return () => {
      inFlight?.ended("lost");
      for (const { ended } of waiting) ended("refused");
    };
  }

  /** Ends it and all requests. */
  [Symbol.dispose](): void {
    if (this.#open) this.#close()();
  }
}
