// One connection's worth of receiving: hello, then header and payload of each frame, the payload straight to
// where the target wants it.
import { EPOLLIN } from "../../../ffi/epoll.ts";
import { errno, SysError } from "../../../ffi/errno.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { receive } from "../../../ffi/socket.ts";
import { ProtocolError } from "../../errors.ts";
import type { Loop, Watch } from "../../loop.ts";
import { Course, untilEnded } from "../connection.ts";
import {
  checkFrameHeader,
  checkHello,
  type FrameHeader,
  frameHeader,
  hello,
  type StreamInfo,
} from "./messages.ts";
import type { Target, Waiting } from "./target.ts";

export interface ReceptionOptions {
  readonly maxFrame: number;
  /** A sender that is silent for so long in the middle of a message is given up. */
  readonly stallMs: number;
  readonly openTarget: (stream: StreamInfo, waiting: Waiting) => Target;
  /** Told when the hello was accepted. */
  readonly started: (stream: StreamInfo) => void;
  /** Told of each frame the target has taken; answers whether more are wanted. */
  readonly taken: (header: FrameHeader) => boolean;
}

/** Calls of recv in one turn of the loop before others have theirs. */
const BURST = 256;
/** And no longer than this, when what becomes of a frame takes its time: signals, keys and timers wait meanwhile. */
const BURST_MS = 20;

/** How a reception ended without error. */
export type ReceptionEnd = "closed" | "enough" | "stopped";

/**
 * Receives a stream until the sender closes between two messages ("closed"), there were enough frames or
 * `signal` aborts. Throws ProtocolError or SysError.
 */
export async function receiveStream(
  loop: Loop,
  socket: Fd,
  options: ReceptionOptions,
  signal: AbortSignal,
): Promise<ReceptionEnd> {
  using reception = new Reception(loop, socket, options);
  return await untilEnded(reception, signal);
}

type Part = "hello" | "frame" | "payload";

class Reception implements Disposable {
  readonly #socket: Fd;
  readonly #options: ReceptionOptions;
  readonly #course: Course<ReceptionEnd>;
  readonly #watches = new DisposableStack();
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
  #progressMs = performance.now();
  #progressLeft = 0;
  #paused = false;

  constructor(loop: Loop, socket: Fd, options: ReceptionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#course = new Course(loop);
    this.#watch = this.#watches.use(
      loop.watch(
        socket.number,
        EPOLLIN,
        this.#course.handler(() => this.#onReadable()),
      ),
    );
    this.#watches.use(
      loop.every(
        1000,
        this.#course.handler(() => this.#checkStall()),
      ),
    );
  }

  /** Settles when the reception is over. */
  get ended(): Promise<ReceptionEnd> {
    return this.#course.ended;
  }

  stop(): void {
    this.#course.finish("stopped");
  }

  #onReadable(): void {
    const untilMs = performance.now() + BURST_MS;
    for (let i = 0; i < BURST && !this.#paused && !this.#course.over; i++) {
      const r = receive(this.#socket, this.#at, this.#left);
      if (r === -errno.EAGAIN) return;
      if (r === -errno.EINTR) continue;
      if (r < 0) throw new SysError("recv", this.#socket.name, -r);
      if (r === 0) {
        this.#closed();
        return;
      }
      this.#at += r;
      this.#left -= r;
      // A payload of no bytes is done at once: nothing more may ever arrive to wake us.
      while (this.#left === 0 && !this.#paused && !this.#course.over) this.#partDone();
      if (performance.now() >= untilMs) return;
    }
  }

  /** The sender closed: fine between two frames, an error in the middle of something. */
  #closed(): void {
    if (this.#part === "frame" && this.#left === this.#size) {
      this.#course.finish("closed");
      return;
    }
    const got = this.#size - this.#left;
    throw new ProtocolError(
      `${this.#socket.name}: closed after ${got} of the ${this.#size} bytes of a ${this.#part}`,
    );
  }

  #partDone(): void {
    switch (this.#part) {
      case "hello": {
        this.#stream = checkHello(this.#hello, this.#options.maxFrame);
        const waiting = {
          ready: () => this.#course.run(() => this.#resume()),
          failed: (error: unknown) => this.#course.fail(error),
        };
        this.#target = this.#watches.use(this.#options.openTarget(this.#stream, waiting));
        this.#options.started(this.#stream);
        this.#expectHeader();
        return;
      }
      case "frame": {
        checkFrameHeader(this.#header, this.#stream?.sizeimage ?? 0);
        this.#expect("payload", this.#target?.begin(this.#header) ?? 0, this.#header.bytesused);
        return;
      }
      case "payload": {
        if (this.#target?.complete(this.#header) === false) {
          this.#paused = true;
          this.#watch.setEvents(0);
        } else this.#frameTaken();
      }
    }
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#watch.setEvents(EPOLLIN);
    this.#frameTaken();
  }

  #frameTaken(): void {
    this.#expectHeader();
    if (!this.#options.taken(this.#header)) this.#course.finish("enough");
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

  #checkStall(): void {
    const nowMs = performance.now();
    const between = this.#part === "frame" && this.#left === this.#size;
    if (between || this.#paused || this.#left !== this.#progressLeft) {
      this.#progressLeft = this.#left;
      this.#progressMs = nowMs;
    } else if (nowMs - this.#progressMs >= this.#options.stallMs) {
      const got = this.#size - this.#left;
      const seconds = this.#options.stallMs / 1000;
      throw new ProtocolError(
        `${this.#socket.name}: silent for ${seconds} s after ${got} of the ${this.#size} bytes of a ${this.#part}`,
      );
    }
  }

  [Symbol.dispose](): void {
    this.#course.drop();
    this.#watches.dispose();
  }
}
