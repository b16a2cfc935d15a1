// The zero-copy receiver, for one connection: hello, a handle per buffer, then 48 bytes per frame. The picture is read in
// the sender's buffer, and the frame is acknowledged when it was read.

import { receiveWithDescriptors } from "../../../ffi/descriptors.ts";
import { EPOLLIN, EPOLLOUT } from "../../../ffi/epoll.ts";
import { errno } from "../../../ffi/errno.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { receive } from "../../../ffi/socket.ts";
import { PeerGone, ProtocolError } from "../../errors.ts";
import type { StreamInfo } from "../../frame/frame.ts";
import type { FrameBuffer } from "../../frame/memory.ts";
import type { Handle, Importer } from "../../frame/sharing.ts";
import type { Watch } from "../../loop.ts";
import { Connection, type ReceiveEnd } from "../connection.ts";
import { checkFrame, checkHello, FRAME_MAGIC, hello } from "../hello.ts";
import { Inbox } from "../inbox.ts";
import { Outbox } from "../outbox.ts";
import type { ServeRun } from "../serve.ts";
import { watchHost } from "../socket/liveness.ts";
import { sendAtOnce } from "../socket/same-host.ts";
import { HandleLength } from "./handle-length.ts";
import {
  checkHandle,
  handleMessage,
  idOf,
  shareOf,
  wordsOf,
  type ZcFrame,
  zcAck,
  zcFrame,
} from "./messages.ts";
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

interface Held {
  readonly high: number;
  readonly low: number;
  readonly most: number;
}

class ZeroCopyReceiver implements Disposable {
  readonly #socket: Fd;
  readonly #options: BorrowOptions;
  readonly connection: Connection<ReceiveEnd>;
  readonly #buffers = new DisposableStack();
  readonly #passed: Fd[] = [];
  readonly #watch: Watch;
  readonly #hello = hello.alloc();
  readonly #handle = handleMessage.alloc();
  readonly #frame = zcFrame.alloc();
  readonly #ack = zcAck.alloc();
  readonly #inbox = new Inbox("frame", BURST, zcFrame.size);
  readonly #outbox = new Outbox(BURST, zcAck.size);
  readonly #borrowed: FrameBuffer[] = [];
  readonly #held: Held[] = [];
  readonly #ids = new Set<bigint>();
  #stream: StreamInfo | undefined;
  #view: ViewTarget | undefined;
  readonly #length = new HandleLength();
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
    const last = this.#held.length + 1 === stream.bufferCount;
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
    if (this.#ids.has(handle.id)) {
      throw new ProtocolError(`handle: handle_id ${handle.id} came twice`);
    }
    this.#ids.add(handle.id);
    const passed = this.#passed.pop();
    const borrowed = this.#buffers.use(
      this.#importer(handle, passed).import(handle, stream, passed),
    );
    this.#borrowed.push(borrowed);
    const most = Math.min(borrowed.mapping.length, stream.sizeimage);
    this.#held.push({ ...wordsOf(handle.id), most });
    if (this.#held.length < stream.bufferCount) return;
    const waiting = this.connection.waiting(() => this.#resume());
    this.#view = this.#buffers.use(this.#options.openView(stream, this.#borrowed, waiting));
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
    for (let i = 0; i < BURST && !this.#paused && !this.connection.over; i++) {
      if (!this.#outbox.takes(zcAck.size)) break;
      if (this.#inbox.take(this.#frame.$bytes)) {
        this.#read();
        continue;
      }
      const filled = this.#inbox.fill(this.#socket);
      if (filled === "nothing") break;
      if (filled === "closed") this.connection.finish("closed");
    }
    if (!this.connection.over) this.#watchSocket();
  }

  /** Waits for frames, and to be writable while acknowledgements wait or whole frames were received and not read. */
  #watchSocket(): void {
    const flushed = this.#flush();
    const reading = this.#paused || !this.#outbox.takes(zcAck.size) ? 0 : EPOLLIN;
    const wholeLeft = !this.#paused && this.#inbox.ready;
    this.#watch.setEvents(reading | (flushed && !wholeLeft ? 0 : EPOLLOUT));
  }

  #read(): void {
    const frame = this.#frame;
    checkFrame(frame, this.#stream?.sizeimage ?? 0);
    const index = this.#find(frame);
    if (this.#view?.take(index, frame) === false) this.#paused = true;
    else this.#acknowledge();
  }

  /** Index of the buffer a frame is in. Throws ProtocolError. */
  #find(frame: ZcFrame): number {
    const { handle_high: high, handle_low: low, bytesused } = frame;
    for (let i = 0; i < this.#held.length; i++) {
      const held = this.#held[i];
      if (held?.low !== low || held.high !== high) continue;
      if (bytesused <= held.most) return i;
      throw new ProtocolError(
        `frame: bytesused is ${bytesused}, buffer ${idOf(high, low)} has ${held.most}`,
      );
    }
    throw new ProtocolError(`frame: handle_id ${idOf(high, low)} is none of this stream`);
  }

  /** Returns the buffer of the frame to the sender. */
  #acknowledge(): void {
    const { handle_high, handle_low, sequence_high, sequence_low } = this.#frame;
    this.#ack.handle_high = handle_high;
    this.#ack.handle_low = handle_low;
    this.#ack.sequence_high = sequence_high;
    this.#ack.sequence_low = sequence_low;
    this.#outbox.push(this.#ack.$bytes);
    this.#flush();
    if (!this.#options.taken(this.#frame)) this.connection.finish("enough");
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

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#acknowledge();
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
    this.#buffers.dispose();
  }
}
