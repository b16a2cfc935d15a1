// The copy flow's receiver, for one connection: hello, then header and payload of each frame. The payload is received
// straight into the target's memory.
import { EPOLLIN } from "../../../ffi/epoll.ts";
import { errno } from "../../../ffi/errno.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { V4L2_BUF_FLAG_ERROR } from "../../../ffi/linux/videodev2.ts";
import { receive } from "../../../ffi/socket.ts";
import { PeerGone } from "../../errors.ts";
import type { StreamInfo } from "../../frame/frame.ts";
import type { Watch } from "../../loop.ts";
import { Connection, type ReceiveEnd, type Waiting } from "../connection.ts";
import { checkFrame, checkHello, hello } from "../hello.ts";
import type { ServeRun } from "../serve-connection.ts";
import { frameHeader } from "./messages.ts";
import type { Target } from "./target.ts";

export interface CopyReceiveOptions extends Omit<ServeRun, "captureTime"> {
  readonly maxFrame: number;
  /** Called when the hello was accepted. Throws ProtocolError to refuse the stream. */
  readonly openTarget: (stream: StreamInfo, waiting: Waiting) => Target;
}

/** Calls of recv in one turn of the loop before other handlers are called. */
const BURST = 256;
/** Limit of one turn in ms without `turnMs`, for targets that need long for a frame: signals, keys and timers wait meanwhile. */
const BURST_MS = 20;

/**
 * Receives a stream until the sender closes between two messages ("closed"), there were enough frames or
 * `signal` aborts. Throws ProtocolError, or SysError of the target.
 */
export async function receiveFrames(options: CopyReceiveOptions): Promise<ReceiveEnd> {
  using receiver = new CopyReceiver(options);
  const { connection } = receiver;
  return await connection.untilEnded(options.signal, () => connection.finish("stopped"));
}

type Part = "hello" | "frame" | "payload";

class CopyReceiver implements Disposable {
  readonly #socket: Fd;
  readonly #options: CopyReceiveOptions;
  readonly connection: Connection<ReceiveEnd>;
  readonly #watch: Watch;
  readonly #hello = hello.alloc();
  readonly #header = frameHeader.alloc();
  readonly #headerAt = this.#header.$address;
  #stream: StreamInfo | undefined;
  #target: Target | undefined;
  #part: Part = "hello";
  #at = this.#hello.$address;
  #left = hello.size;
  #size = hello.size;
  /** Received bytes of the whole connection. */
  #total = 0;
  #paused = false;
  readonly #turnMs: number;

  constructor(options: CopyReceiveOptions) {
    const { loop, socket, turnMs = BURST_MS } = options;
    this.#turnMs = turnMs;
    this.#socket = socket;
    this.#options = options;
    this.connection = new Connection(loop);
    this.#watch = this.connection.watch(socket.number, EPOLLIN, () => this.#onReadable());
    this.connection.limitStalls({
      stallMs: options.stallMs,
      waiting: () => !this.#between && !this.#paused,
      bytes: () => this.#total,
      text: (seconds) => `${socket.name}: silent for ${seconds} s after ${this.#received}`,
    });
  }

  #onReadable(): void {
    const untilMs = performance.now() + this.#turnMs;
    for (let i = 0; i < BURST && !this.#paused && !this.connection.over; i++) {
      const r = receive(this.#socket, this.#at, this.#left);
      if (r === -errno.EAGAIN) return;
      if (r === -errno.EINTR) continue;
      // A sender that closes with bytes unread resets the connection.
      const left = r === 0 || (r === -errno.ECONNRESET && this.#between);
      if (r < 0 && !left) throw new PeerGone("recv", this.#socket.name, -r);
      if (left) {
        this.#closed();
        return;
      }
      this.#at += r;
      this.#left -= r;
      this.#total += r;
      // A payload of 0 bytes is complete now: the socket may never be readable again.
      while (this.#left === 0 && !this.#paused && !this.connection.over) this.#partDone();
      if (performance.now() >= untilMs) return;
    }
  }

  /** Whether all of the last message was received, and nothing of the next one. */
  get #between(): boolean {
    return this.#part === "frame" && this.#left === this.#size;
  }

  /** How much of the message has come, for error texts. */
  get #received(): string {
    return `${this.#size - this.#left} of the ${this.#size} bytes of a ${this.#part}`;
  }

  /** The sender closed: between two frames this is the end of the stream, otherwise an error. */
  #closed(): void {
    if (this.#between) this.connection.finish("closed");
    else throw new PeerGone("recv", this.#socket.name, `closed after ${this.#received}`);
  }

  #partDone(): void {
    switch (this.#part) {
      case "hello": {
        this.#stream = checkHello(this.#hello, this.#options.maxFrame);
        const waiting = this.connection.waiting(
          () => this.#resume(),
          () => undefined, // a target keeps its own buffers
        );
        this.#target = this.#options.openTarget(this.#stream, waiting);
        this.#expectHeader();
        if (this.#options.started(this.#stream) === false) this.connection.finish("enough");
        return;
      }
      case "frame": {
        checkFrame(this.#header, this.#stream?.sizeimage ?? 0);
        this.#expect("payload", this.#target?.begin(this.#header) ?? 0, this.#header.bytesused);
        return;
      }
      case "payload": {
        this.#offerPicture();
        if (this.#target?.complete(this.#header) === false) {
          this.#paused = true;
          this.#watch.setEvents(0);
        } else this.#frameTaken();
      }
    }
  }

  /** Copies the picture that has come, if it is wanted. Its memory may be another's after `complete`. */
  #offerPicture(): void {
    const { pictures } = this.#options;
    if (pictures?.wanted !== true || this.#stream === undefined) return;
    if ((this.#header.flags & V4L2_BUF_FLAG_ERROR) !== 0) return;
    pictures.take(this.#stream, this.#at - this.#size, this.#size);
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#watch.setEvents(EPOLLIN);
    this.#frameTaken();
  }

  #frameTaken(): void {
    this.#expectHeader();
    if (!this.#options.taken(this.#header)) this.connection.finish("enough");
  }

  #expectHeader(): void {
    this.#expect("frame", this.#headerAt, frameHeader.size);
  }

  #expect(part: Part, at: number, size: number): void {
    this.#part = part;
    this.#at = at;
    this.#left = size;
    this.#size = size;
  }

  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
    this.#target?.[Symbol.dispose]();
  }
}
