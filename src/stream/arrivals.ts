// Who connects to a receiver: a connection counts as a sender when its hello has come. Anything else, a port scan, an HTTP
// request, a connection without a byte, costs itself only: the hello is looked at and stays in the socket's buffer.
import { EPOLLIN, EPOLLRDHUP } from "../../ffi/epoll.ts";
import { errno } from "../../ffi/errno.ts";
import { peek } from "../../ffi/socket.ts";
import { PeerGone, ProtocolError } from "../errors.ts";
import type { Loop, Watch } from "../loop.ts";
import { HELLO_MAGIC, hello, wrongMagic } from "./hello.ts";
import type { Listener, Peer } from "./socket/listener.ts";

/** Most connections whose hello has not come. The oldest is closed for one more. */
const MOST_WAITING = 16;
/** The first field of a hello. */
const MAGIC_BYTES = 4;
/** How often the rest of a hello is looked for. The socket stays readable meanwhile, so the loop does not tell. */
const REST_MS = 20;

export interface ArrivalOptions {
  /** A connection is closed when its hello has not come after this time; 0: never. */
  readonly stallMs: number;
  /** Called for a connection that is no sender, with the reason. It is closed after that. */
  readonly stranger: (peer: Peer, error: ProtocolError) => void;
}

/** A connection whose hello has not come. */
interface Waiting {
  readonly peer: Peer;
  readonly owned: DisposableStack;
  readonly watch: Watch;
  /** Bytes of the hello that have come. */
  got: number;
  /** Looks for the rest of the hello later. */
  rest: Disposable | undefined;
}

export class Arrivals implements Disposable {
  readonly #loop: Loop;
  readonly #listener: Listener;
  readonly #options: ArrivalOptions;
  readonly #waiting = new Set<Waiting>();
  readonly #arrived: Peer[] = [];
  readonly #hello = hello.alloc();
  /** Called when a sender has arrived. */
  #take: () => void = () => undefined;
  #refusal: string | undefined;

  /** Owns `listener`. */
  constructor(loop: Loop, listener: Listener, options: ArrivalOptions) {
    this.#loop = loop;
    this.#listener = listener;
    this.#options = options;
  }

  /** The address it listens on. */
  get name(): string {
    return this.#listener.name;
  }

  /** Waits for the next sender; undefined when `signal` aborts first. Accepts connections meanwhile. */
  async next(signal: AbortSignal): Promise<Peer | undefined> {
    const { promise, resolve, reject } = this.#loop.promise<Peer | undefined>();
    const accepting = new AbortController();
    const end = (peer: Peer | undefined) => {
      this.#take = () => undefined;
      accepting.abort();
      resolve(peer);
    };
    const stop = () => end(undefined);
    this.#take = () => {
      const peer = this.#arrived.shift();
      if (peer !== undefined) end(peer);
    };
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    this.#take();
    const accepted = this.#accept(accepting.signal).catch(reject);
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", stop);
      accepting.abort();
      await accepted; // one call at a time accepts
    }
  }

  async #accept(signal: AbortSignal): Promise<void> {
    for (;;) {
      const peer = await this.#listener.next(signal);
      if (peer === undefined) return;
      this.#await(peer);
    }
  }

  /** Until it is disposed, refuses senders with `reason`. */
  refuseOthers(reason: string): Disposable {
    this.#refusal = reason;
    for (const peer of this.#arrived.splice(0)) this.#listener.turnAway(peer, reason);
    const refusing = this.#listener.refuseOthers(reason);
    return {
      [Symbol.dispose]: () => {
        this.#refusal = undefined;
        refusing[Symbol.dispose]();
      },
    };
  }

  /** Waits for the hello of `peer`. */
  #await(peer: Peer): void {
    const [oldest] = this.#waiting;
    if (oldest !== undefined && this.#waiting.size >= MOST_WAITING)
      this.#close(oldest, "closed for other connections");
    const { stallMs } = this.#options;
    const owned = new DisposableStack();
    const handler = (events: number) => this.#look(entry, (events & EPOLLRDHUP) !== 0);
    const watch = owned.use(this.#loop.watch(peer.socket.number, EPOLLIN | EPOLLRDHUP, handler));
    const entry: Waiting = { peer, owned, watch, got: 0, rest: undefined };
    this.#waiting.add(entry);
    const silent = () => this.#close(entry, `silent for ${stallMs / 1000} s`);
    if (stallMs > 0) owned.use(this.#loop.after(stallMs, silent));
    this.#look(entry, false);
  }

  /** Looks at what has come; `last`: nothing comes after it. */
  #look(entry: Waiting, last: boolean): void {
    const { peer, watch } = entry;
    const r = peek(peer.socket, this.#hello.$address, hello.size);
    if (r === -errno.EAGAIN || r === -errno.EINTR) return;
    entry.got = Math.max(r, 0);
    if (r < 0) this.#close(entry, new PeerGone("recv", peer.socket.name, -r));
    else if (r >= MAGIC_BYTES && this.#hello.magic !== HELLO_MAGIC) {
      const { name } = peer.socket;
      this.#close(entry, new ProtocolError(`${name}: ${wrongMagic(this.#hello.magic)}`));
    } else if (r === hello.size) this.#hasArrived(entry);
    else if (r === 0 || last) this.#close(entry, "closed");
    else {
      watch.setEvents(EPOLLRDHUP); // what was not read keeps the socket readable
      const again = () => watch.setEvents(EPOLLIN | EPOLLRDHUP);
      entry.rest?.[Symbol.dispose]();
      entry.rest = this.#loop.after(REST_MS, again);
    }
  }

  #hasArrived(entry: Waiting): void {
    this.#forget(entry);
    if (this.#refusal !== undefined) this.#listener.turnAway(entry.peer, this.#refusal);
    else {
      this.#arrived.push(entry.peer);
      this.#take();
    }
  }

  /** Closes a connection that is no sender. */
  #close(entry: Waiting, reason: ProtocolError | string): void {
    const { peer, got } = entry;
    this.#forget(entry);
    using _socket = peer.socket;
    const text = `${peer.socket.name}: ${reason} after ${got} of the ${hello.size} bytes of a hello`;
    this.#options.stranger(peer, typeof reason === "string" ? new ProtocolError(text) : reason);
  }

  #forget(entry: Waiting): void {
    this.#waiting.delete(entry);
    entry.rest?.[Symbol.dispose]();
    entry.owned.dispose();
  }

  [Symbol.dispose](): void {
    for (const entry of this.#waiting) {
      this.#forget(entry);
      entry.peer.socket[Symbol.dispose]();
    }
    for (const { socket } of this.#arrived.splice(0)) socket[Symbol.dispose]();
    this.#listener[Symbol.dispose]();
  }
}
