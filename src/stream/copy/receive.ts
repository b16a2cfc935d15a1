// The copy flow's receiver, for one connection: hello, then header and payload of each frame. The payload is received
// straight into the target's memory.
import { EPOLLIN } from "../../../ffi/epoll.ts";
import { errno } from "../../../ffi/errno.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { V4L2_BUF_FLAG_ERROR } from "../../../ffi/linux/videodev2.ts";
import { Scatter } from "../../../ffi/scatter.ts";
import { receive } from "../../../ffi/socket.ts";
import { PeerGone } from "../../errors.ts";
import type { StreamInfo } from "../../frame/frame.ts";
import type { Deferred, Watch } from "../../loop.ts";
import { Connection, type ReceiveEnd, type Waiting } from "../connection.ts";
import { checkFrame, checkHello, hello } from "../hello.ts";
import type { ServeRun } from "../serve-connection.ts";
import { LowWater } from "../socket/low-water.ts";
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
  readonly #resumed: Deferred;
  readonly #hello = hello.alloc();
  /** The header of this frame, and of the next one: that is received with the end of this frame's picture. */
  #header = frameHeader.alloc();
  #nextHeader = frameHeader.alloc();
  #headerAt = this.#header.$address;
  #nextHeaderAt = this.#nextHeader.$address;
  readonly #scatter = new Scatter();
  readonly #lowWater: LowWater | undefined;
  #stream: StreamInfo | undefined;
  #target: Target | undefined;
  #part: Part = "hello";
  #at = this.#hello.$address;
  #left = hello.size;
  #size = hello.size;
  /** Received bytes of the next header. Not 0 only between the end of a payload and the expectation of that header. */
  #ahead = 0;
  /** Received bytes of the whole connection. */
  #total = 0;
  #paused = false;
  readonly #turnMs: number;
  /** The time at which this turn began to receive. */
  #nowMs = 0;

  constructor(options: CopyReceiveOptions) {
    const { loop, socket, turnMs = BURST_MS } = options;
    this.#turnMs = turnMs;
    this.#socket = socket;
    this.#options = options;
    this.#lowWater = LowWater.of(socket);
    this.connection = new Connection(loop);
    this.#watch = this.connection.watch(socket.number, EPOLLIN, () => this.#onReadable());
    this.#resumed = this.connection.deferred(() => this.#partsDone());
    this.connection.limitStalls({
      stallMs: options.stallMs,
      waiting: () => !this.#between && !this.#paused,
      bytes: () => {
        this.#onReadable(); // fewer bytes than the low-water mark may wait in the socket
        return this.#total;
      },
      text: (seconds) => `${socket.name}: silent for ${seconds} s after ${this.#received}`,
    });
  }

  #onReadable(): void {
    this.#partsDone();
    if (this.#paused || this.connection.over) return;
    if (this.#drain()) this.#lowWater?.expect(this.#part === "payload" ? this.#left : 0);
  }

  /** Receives what has arrived, for a turn at most. Answers whether the loop is to report when more arrives. */
  #drain(): boolean {
    this.#nowMs = performance.now();
    const untilMs = this.#nowMs + this.#turnMs;
    for (let i = 0; i < BURST; i++) {
      const wanted = this.#left + (this.#part === "payload" ? frameHeader.size : 0);
      const r = this.#receive();
      if (r === -errno.EAGAIN) return true;
      if (r === -errno.EINTR) continue;
      // A sender that closes with bytes unread resets the connection.
      const left = r === 0 || (r === -errno.ECONNRESET && this.#between);
      if (r < 0 && !left) throw new PeerGone("recv", this.#socket.name, -r);
      if (left) {
        this.#closed();
        return false;
      }
      this.#advance(r);
      if (this.connection.over) return false;
      // After a short read the socket's buffer is empty, and the loop reports it if more has arrived since.
      if (this.#paused || r < wanted || this.#collects || performance.now() >= untilMs) return true;
    }
    return true;
  }

  /** Whether the loop is to report the rest of this payload when all of it has arrived. */
  get #collects(): boolean {
    return this.#part === "payload" && this.#lowWater?.collects(this.#left) === true;
  }

  #receive(): number {
    if (this.#part !== "payload") return receive(this.#socket, this.#at, this.#left);
    return this.#scatter.receive(
      this.#socket,
      this.#at,
      this.#left,
      this.#nextHeaderAt,
      frameHeader.size,
    );
  }

  #advance(bytes: number): void {
    this.#total += bytes;
    this.#ahead = Math.max(0, bytes - this.#left);
    this.#at += bytes - this.#ahead;
    this.#left -= bytes - this.#ahead;
    this.#partsDone();
  }

  /** A payload of 0 bytes is complete at once: the socket may never be readable again. */
  #partsDone(): void {
    while (this.#left === 0 && !this.#paused && !this.connection.over) this.#partDone();
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
        this.#lowWater?.begins(this.#nowMs);
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
    this.#resumed.ask(); // the next header may be there already
  }

  #frameTaken(): void {
    const more = this.#options.taken(this.#header);
    this.#expectHeader();
    if (!more) this.connection.finish("enough");
  }

  /** Its first bytes may be there: they were received with the payload before it. */
  #expectHeader(): void {
    const header = this.#nextHeader;
    const at = this.#nextHeaderAt;
    this.#nextHeader = this.#header;
    this.#nextHeaderAt = this.#headerAt;
    this.#header = header;
    this.#headerAt = at;
    this.#expect("frame", at, frameHeader.size);
    this.#at += this.#ahead;
    this.#left -= this.#ahead;
    this.#ahead = 0;
  }

  #expect(part: Part, at: number, size: number): void {
    this.#part = part;
    this.#at = at;
    this.#left = size;
    this.#size = size;
  }

  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
    this.#lowWater?.[Symbol.dispose]();
    this.#target?.[Symbol.dispose]();
  }
}
