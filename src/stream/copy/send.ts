// The copy flow's sender, for one connection: hello, then for each frame its header and bytes with one sendmsg, straight
// from the source's buffer. The frame stays on loan until its last byte was sent.
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP } from "../../../ffi/epoll.ts";
import { errno } from "../../../ffi/errno.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { Gather } from "../../../ffi/gather.ts";
import { addressOf } from "../../../ffi/libc.ts";
import { finishSending, receive } from "../../../ffi/socket.ts";
import { PeerGone, ProtocolError, SourceEnded } from "../../errors.ts";
import { wholeBytes } from "../../format/picture-layout.ts";
import type { Frame } from "../../frame/frame.ts";
import { newest, type Source } from "../../frame/source.ts";
import type { Watch } from "../../loop.ts";
import { Connection, type SendEnd } from "../connection.ts";
import type { FeedRun } from "../feed.ts";
import { FRAME_MAGIC, hello, makeHello } from "../hello.ts";
import { type FrameHeader, frameHeader } from "./messages.ts";

export interface CopySendOptions extends FeedRun {
  /** Has been started. */
  readonly source: Source;
  /** Send only the newest frame when several wait. */
  readonly latest: boolean;
  /** The connection ends when the receiver takes no byte of a message for this long. */
  readonly stallMs: number;
}

/** After a stop request, how long sending the current frame may take. */
const LAST_FRAME_MS = 150;
/** How long frames are sent in one turn of the loop before other handlers are called. */
const BURST_MS = 5;
const SOURCE_EVENTS = EPOLLIN | EPOLLPRI;

interface Slot {
  readonly header: FrameHeader;
  readonly gather: Gather;
}

/**
 * Sends frames until there were enough ("done") or `signal` aborts ("stopped"). Throws ProtocolError when the receiver is
 * wrong or gone, SourceEnded when the source ends.
 */
export async function sendFrames(options: CopySendOptions): Promise<SendEnd> {
  using sender = new CopySender(options);
  return await sender.connection.untilEnded(options.signal, () => sender.stop());
}

class CopySender implements Disposable {
  readonly #socket: Fd;
  readonly #source: Source;
  readonly #options: CopySendOptions;
  /** Takes frames while another is being sent: a camera whose buffers are all full captures nothing new. */
  readonly #live: boolean;
  readonly #slots: readonly Slot[];
  readonly #hello: Gather;
  readonly #helloMessage;
  /** A frame with fewer bytes is short. */
  readonly #whole: number;
  readonly connection: Connection<SendEnd>;
  readonly #socketWatch: Watch;
  readonly #sourceWatch: Watch;
  #sending: Gather;
  #frame: Frame | undefined;
  /** With `latest`: the newest frame that was taken while another was being sent. */
  #waiting: Frame | undefined;
  #taken = 0;
  #stopping = false;
  readonly #scratch = new Uint8Array(new ArrayBuffer(16));

  constructor(options: CopySendOptions) {
    const { loop, socket, source } = options;
    this.#socket = socket;
    this.#source = source;
    this.#options = options;
    this.#live = options.latest && !source.onDemand;
    this.#whole = wholeBytes(source.picture);
    this.connection = new Connection(loop);
    this.#slots = source.frames.map((frame) => {
      const header = frameHeader.alloc();
      header.magic = FRAME_MAGIC;
      header.index = frame.index;
      const pieces = [{ address: header.$address, length: frameHeader.size }, ...frame.pieces];
      return { header, gather: new Gather(pieces) };
    });
    this.#helloMessage = makeHello(source.picture, source.frames.length);
    this.#hello = new Gather([{ address: this.#helloMessage.$address, length: hello.size }]);
    this.#sending = this.#hello;
    const connection = this.connection;
    this.#sourceWatch = connection.watch(source.fd, 0, (events) => this.#onSource(events));
    this.#socketWatch = connection.watch(socket.number, EPOLLOUT | EPOLLIN | EPOLLRDHUP, (events) =>
      this.#onSocket(events),
    );
    connection.limitStalls({
      stallMs: options.stallMs,
      progress: () => this.#sending.left || undefined,
      text: (seconds) =>
        `${socket.name}: the receiver took nothing for ${seconds} s, ${this.#sending.left} bytes of a message are left`,
    });
  }

  /** Starts no more frames. The current one may be completed, so that the receiver sees a clean end. */
  stop(): void {
    this.#stopping = true;
    if (this.#frame === undefined && this.#sending.left === 0) this.#finish("stopped");
    else this.connection.after(LAST_FRAME_MS, () => this.#finish("stopped"));
  }

  #finish(how: SendEnd): void {
    finishSending(this.#socket);
    this.connection.finish(how);
  }

  #onSource(events: number): void {
    if ((events & EPOLLPRI) !== 0) this.#source.urgent?.();
    const before = this.#taken;
    if (this.#sending.left === 0) this.#pump();
    else if (this.#live) this.#waiting = this.#take();
    if ((events & (EPOLLERR | EPOLLHUP)) === 0 || this.#taken > before) return;
    throw new SourceEnded(`poll ${this.#source.name}: the device reports an error (POLLERR)`, true);
  }

  #onSocket(events: number): void {
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) !== 0) this.#checkPeer();
    if ((events & EPOLLOUT) !== 0) this.#pump();
  }

  /** Sends the rest of the current message, then frames while the source has some and the socket takes them. */
  #pump(): void {
    const untilMs = performance.now() + BURST_MS;
    do {
      const sent = this.#sending.send(this.#socket);
      if (sent === "again") {
        this.#waitFor(EPOLLOUT, this.#live ? SOURCE_EVENTS : EPOLLPRI);
        return;
      }
      if (typeof sent === "number") throw new PeerGone("send", this.#socket.name, -sent);
      if (this.#frame !== undefined) this.#sent(this.#frame);
      if (this.connection.over) return;
      const next = this.#take();
      if (next === undefined) {
        if (this.#source.exhausted === true) this.#finish("done");
        break;
      }
      this.#begin(next);
    } while (performance.now() < untilMs);
    if (this.connection.over) return;
    if (this.#frame === undefined) this.#waitFor(0, SOURCE_EVENTS);
    else this.#waitFor(EPOLLOUT, EPOLLPRI);
  }

  /** The frame to send next. With `latest` that is the newest one; older ones are given back to the source. */
  #take(): Frame | undefined {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    const { latest, passed } = this.#options;
    const next = latest ? newest(this.#source, passed) : this.#source.next();
    if (next === undefined) return waiting;
    this.#taken += 1;
    if (waiting !== undefined) {
      waiting[Symbol.dispose]();
      passed(1);
    }
    return next;
  }

  #begin(frame: Frame): void {
    const slot = this.#slots[frame.index];
    if (slot === undefined) throw new RangeError(`frame ${frame.index} of ${this.#slots.length}`);
    const { header, gather } = slot;
    header.bytesused = frame.bytesused;
    header.flags = frame.flags;
    header.sequence = frame.sequence;
    header.ts_sec = frame.tsSec;
    header.ts_usec = frame.tsUsec;
    // Only a frame in one piece can be shorter than its buffer; pictures with padded rows are sent whole (capture/pieces.ts).
    if (frame.pieces.length === 1) gather.rewind(frame.bytesused);
    else gather.rewind();
    this.#frame = frame;
    this.#sending = gather;
  }

  #sent(frame: Frame): void {
    this.#frame = undefined;
    const { stats } = this.#options;
    stats.frame(frame.bytesused);
    if (frame.bytesused < this.#whole) stats.short += 1;
    frame[Symbol.dispose]();
    if (stats.frames >= this.#options.frames) this.#finish("done");
    else if (this.#stopping) this.#finish("stopped");
  }

  #waitFor(socketEvents: number, sourceEvents: number): void {
    this.#socketWatch.setEvents(socketEvents | EPOLLIN | EPOLLRDHUP);
    this.#sourceWatch.setEvents(sourceEvents);
  }

  /** The receiver sends nothing in this flow: what can be read is a close, or an error of the peer. */
  #checkPeer(): void {
    const r = receive(this.#socket, addressOf(this.#scratch), this.#scratch.length);
    if (r === -errno.EAGAIN) return;
    const { name } = this.#socket;
    if (r > 0) throw new ProtocolError(`${name}: the receiver sent ${r} bytes, must be none`);
    throw new PeerGone("recv", name, r === 0 ? "the receiver closed the connection" : -r);
  }

  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
    this.#frame?.[Symbol.dispose]();
    this.#frame = undefined;
    this.#waiting?.[Symbol.dispose]();
    this.#waiting = undefined;
  }
}
