// The zero-copy receiver, for one connection: hello, a handle per buffer, then 48 bytes per frame. The picture is read in
// the sender's buffer, and the frame is acknowledged when it was read.

import { receiveWithDescriptors } from "../../../ffi/descriptors.ts";
import { EPOLLIN, EPOLLOUT } from "../../../ffi/epoll.ts";
import { errno } from "../../../ffi/errno.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { V4L2_BUF_FLAG_ERROR } from "../../../ffi/linux/videodev2.ts";
import { receive } from "../../../ffi/socket.ts";
import { PeerGone, ProtocolError } from "../../errors.ts";
import type { StreamInfo } from "../../frame/frame.ts";
import { READ } from "../../frame/memory.ts";
import type { Handle, Importer } from "../../frame/sharing.ts";
import type { Taken } from "../../frame/stream-output.ts";
import type { Watch } from "../../loop.ts";
import { Connection, type ReceiveEnd } from "../connection.ts";
import { checkFrame, checkHello, FRAME_MAGIC, hello } from "../hello.ts";
import { Inbox } from "../inbox.ts";
import { Outbox } from "../outbox.ts";
import type { ServeRun } from "../serve-connection.ts";
import { watchHost } from "../socket/liveness.ts";
import { sendAtOnce } from "../socket/same-host.ts";
import { BorrowedBuffers } from "./borrowed-buffers.ts";
import { HandleLength } from "./handle-length.ts";
import { checkHandle, handleMessage, shareOf, zcAck, zcFrame } from "./messages.ts";
import type { OpenView, ViewTarget } from "./view-target.ts";

export interface BorrowOptions extends Omit<ServeRun, "captureTime"> {
  readonly maxFrame: number;
  /** Map the buffers, one importer per kind of handle. */
  readonly importers: readonly Importer[];
  /** Called when the hello was accepted and every buffer is mapped. */
  readonly openView: OpenView;
}

/** Frames read in one turn of the loop before other handlers are called. */
const BURST = 64;
/** Acknowledgements that can wait: of all frames of a turn, and of all that are held. */
const MOST_ACKS = 2 * BURST;

/**
 * Reads a stream until the sender closes between two messages ("closed"), there were enough frames or `signal`
 * aborts. Every buffer is unmapped when it settles. Throws ProtocolError, UnavailableError, or SysError of
 * the target.
 */
export async function borrowFrames(options: BorrowOptions): Promise<ReceiveEnd> {
  using receiver = new ZeroCopyReceiver(options);
  const { connection } = receiver;
  return await connection.untilEnded(options.signal, () => connection.finish("stopped"));
}

class ZeroCopyReceiver implements Disposable {
  readonly #socket: Fd;
  readonly #options: BorrowOptions;
  readonly connection: Connection<ReceiveEnd>;
  readonly #buffers = new BorrowedBuffers();
  readonly #passed: Fd[] = [];
  readonly #watch: Watch;
  readonly #hello = hello.alloc();
  readonly #handle = handleMessage.alloc();
  readonly #frame = zcFrame.alloc();
  readonly #ack = zcAck.alloc();
  readonly #inbox = new Inbox("frame", BURST, zcFrame.size);
  readonly #outbox = new Outbox(MOST_ACKS, zcAck.size);
  #stream: StreamInfo | undefined;
  #view: ViewTarget | undefined;
  readonly #length = new HandleLength();
  /** The buffer of the newest frame. */
  #index = 0;
  #got = 0; // received bytes of the current hello or handle
  #greeted = 0; // received bytes of the hello and all handles
  #paused = false;

  constructor(options: BorrowOptions) {
    const { loop, socket } = options;
    this.#socket = socket;
    this.#options = options;
    sendAtOnce(socket);
    this.connection = new Connection(loop);
    this.#ack.magic = FRAME_MAGIC;
    this.#watch = this.connection.watch(socket.number, EPOLLIN, () => this.#onSocket());
    watchHost(this.connection, socket);
    this.connection.limitStalls({
      stallMs: options.stallMs,
      waiting: () => this.#insideMessage,
      bytes: () => this.#greeted + this.#inbox.received,
      text: (seconds) => `${socket.name}: silent for ${seconds} s in the middle of a message`,
    });
  }

  #onSocket(): void {
    while (this.#view === undefined && !this.connection.over) if (!this.#greet()) return;
    if (!this.connection.over) this.#readFrames();
  }

  /** Receives a part of the hello or of a handle. Returns whether there may be more to receive now. */
  #greet(): boolean {
    const part = this.#stream === undefined ? "hello" : "handle";
    const message = part === "hello" ? this.#hello : this.#handle;
    const size = part === "hello" ? hello.size : this.#length.wanted(this.#got);
    const at = message.$address + this.#got;
    const left = size - this.#got;
    const r =
      part === "hello"
        ? receive(this.#socket, at, left)
        : receiveWithDescriptors(this.#socket, at, left, this.#passed);
    if (r === -errno.EAGAIN || r === -errno.EINTR) return false;
    if (r < 0) throw new PeerGone("recv", this.#socket.name, -r);
    if (r === 0) {
      if (this.#betweenMessages) {
        this.connection.finish("closed");
        return false;
      }
      const what = `${this.#got} of the ${size} bytes of a ${part}`;
      throw new PeerGone("recv", this.#socket.name, `closed after ${what}`);
    }
    this.#got += r;
    this.#greeted += r;
    if (this.#passed.length > 1) {
      throw new ProtocolError(`handle: ${this.#passed.length} descriptors came with it, not one`);
    }
    if (this.#got < size) return true;
    if (this.#stream === undefined) {
      this.#stream = checkHello(this.#hello, this.#options.maxFrame);
      this.#got = 0;
    } else this.#handlePart(this.#stream);
    return true;
  }

  /** As many bytes of a handle have come as were wanted: a whole one, or enough to see how long it is. */
  #handlePart(stream: StreamInfo): void {
    const last = this.#buffers.mapped.length + 1 === stream.bufferCount;
    const next = this.#length.decide(this.#handle, this.#got, last);
    if (next === undefined) return;
    this.#got = 0;
    this.#takeHandle(stream);
    if (next.length === 0) return;
    if (last) this.#inbox.begin(next);
    else {
      this.#handle.$bytes.set(next);
      this.#got = next.length;
    }
  }

  /** A handle of the older revision may be complete, and no other message has to follow before a frame is captured. */
  get #betweenMessages(): boolean {
    return this.#stream?.bufferCount === 1 && this.#length.undecidedAt(this.#got);
  }

  #takeHandle(stream: StreamInfo): void {
    const handle = checkHandle(this.#handle);
    this.#buffers.checkNew(handle);
    const passed = this.#passed.pop();
    const importer = this.#importer(handle, passed);
    this.#buffers.add(handle, stream, importer.import(handle, stream, passed));
    if (this.#buffers.mapped.length < stream.bufferCount) return;
    const waiting = this.connection.waiting(
      (taken) => this.#resume(taken),
      (index) => this.#returned(index),
    );
    this.#view = this.#buffers.use(this.#options.openView(stream, this.#buffers.mapped, waiting));
    if (this.#options.started(stream) === false) this.connection.finish("enough");
  }

  #importer(handle: Handle, passed: Fd | undefined): Importer {
    const importer = this.#options.importers.find(({ kind }) => kind === handle.kind);
    if (importer !== undefined) return importer;
    passed?.[Symbol.dispose]();
    const takes = this.#options.importers.map(({ kind }) => shareOf(kind)).join(", ");
    throw new ProtocolError(
      `handle: the sender has --share ${shareOf(handle.kind)}, this receiver takes ${takes}; give both the same`,
    );
  }

  #readFrames(): void {
    const { turnMs } = this.#options;
    const untilMs = turnMs === undefined ? undefined : performance.now() + turnMs;
    for (let i = 0; i < BURST && !this.#paused && !this.connection.over; i++) {
      if (!this.#hasRoom) break;
      if (this.#inbox.take(this.#frame.$bytes)) {
        this.#read();
        if (untilMs !== undefined && performance.now() >= untilMs) break;
        continue;
      }
      const filled = this.#inbox.fill(this.#socket);
      if (filled === "nothing") break;
      if (filled === "closed") this.connection.finish("closed");
    }
    if (!this.connection.over) this.#watchSocket();
  }

  /** Whether the acknowledgements of one more frame, and of all that are held, have room. */
  get #hasRoom(): boolean {
    return this.#outbox.takes((1 + this.#buffers.heldCount) * zcAck.size);
  }

  /** Waits for frames, and to be writable while acknowledgements wait or whole frames were received and not read. */
  #watchSocket(): void {
    const flushed = this.#flush();
    const reading = this.#paused || !this.#hasRoom ? 0 : EPOLLIN;
    const wholeLeft = !this.#paused && this.#inbox.ready;
    this.#watch.setEvents(reading | (flushed && !wholeLeft ? 0 : EPOLLOUT));
  }

  #read(): void {
    const frame = this.#frame;
    checkFrame(frame, this.#stream?.sizeimage ?? 0);
    this.#index = this.#buffers.find(frame);
    this.#offerPicture();
    const taken = this.#view?.take(this.#index, frame) ?? "taken";
    if (taken === "waits") this.#paused = true;
    else this.#taken(taken);
  }

  /** Copies the picture, if it is wanted and is not overwritten meanwhile. */
  #offerPicture(): void {
    const { pictures } = this.#options;
    const buffer = this.#buffers.mapped[this.#index];
    if (pictures?.wanted !== true || this.#stream === undefined || buffer === undefined) return;
    const { bytesused, flags } = this.#frame;
    if ((flags & V4L2_BUF_FLAG_ERROR) !== 0) return;
    buffer.begin(READ);
    pictures.take(this.#stream, buffer.mapping.address, bytesused, buffer.changed);
    buffer.end(READ);
  }

  /** The frame was read, or is held: then its buffer is returned later. */
  #taken(taken: Taken): void {
    const frame = this.#frame;
    // A sender may use a buffer again that was not returned in time. The frame that was held in it is not there any more.
    if (this.#buffers.release(this.#index, this.#ack)) this.#acknowledge();
    if (taken === "held") this.#buffers.hold(this.#index, frame);
    else {
      this.#ack.handle_high = frame.handle_high;
      this.#ack.handle_low = frame.handle_low;
      this.#ack.sequence_high = frame.sequence_high;
      this.#ack.sequence_low = frame.sequence_low;
      this.#acknowledge();
    }
    if (!this.#options.taken(frame)) this.connection.finish("enough");
  }

  /** The output that held the frame in buffer `index` gave it back. */
  #returned(index: number): void {
    if (!this.#buffers.release(index, this.#ack)) return;
    this.#acknowledge();
    if (!this.connection.over) this.#watchSocket();
  }

  /** Returns a buffer to the sender. */
  #acknowledge(): void {
    this.#outbox.push(this.#ack.$bytes);
    this.#flush();
  }

  /**
   * Sends the waiting acknowledgements. Returns whether all were sent. A sender that has left needs none: it may have
   * closed without reading the last ones. Its frames that arrived are read up to the close.
   */
  #flush(): boolean {
    try {
      return this.#outbox.flush(this.#socket);
    } catch (error) {
      const left = error instanceof PeerGone && ["EPIPE", "ECONNRESET"].includes(error.code ?? "");
      if (!left || this.#paused) throw error; // paused: a frame of the sender is still being read
      this.#outbox.clear();
      return true;
    }
  }

  #resume(taken: Taken): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#taken(taken);
    if (!this.connection.over) this.#watchSocket();
  }

  /** Whether the sender has to send more now. */
  get #insideMessage(): boolean {
    if (this.#paused || this.#betweenMessages) return false;
    return this.#view === undefined || this.#inbox.part > 0;
  }

  /** Unmaps all buffers. The caller closes the socket after this, so the sender sees the close when nothing reads its buffers. */
  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
    for (const fd of this.#passed.splice(0)) fd[Symbol.dispose]();
    this.#buffers[Symbol.dispose]();
  }
}
