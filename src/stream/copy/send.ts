// The copy flow's sender, for one connection: hello, then for each frame its header and bytes with one sendmsg, straight
// from the source's buffer. The frame stays on loan until its last byte was sent.
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP } from "../../../ffi/epoll.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { Gather } from "../../../ffi/gather.ts";
import { finishSending } from "../../../ffi/socket.ts";
import { PeerGone, ProtocolError, SourceEnded } from "../../errors.ts";
import { wholeBytes } from "../../format/picture-layout.ts";
import type { Frame } from "../../frame/frame.ts";
import { newest, type Source } from "../../frame/source.ts";
import type { Watch } from "../../loop.ts";
import { Connection, type SendEnd } from "../connection.ts";
import type { FeedRun } from "../feed.ts";
import { FRAME_MAGIC, hello, makeHello } from "../hello.ts";
import { Inbox } from "../inbox.ts";
import { RefusalReader, Refused, refusal } from "../refusal.ts";
import { watchHost } from "../socket/liveness.ts";
import { type FrameHeader, frameHeader } from "./messages.ts";

export interface CopySendOptions extends FeedRun {
  /** Has been started. */
  readonly source: Source;
  /** Send only the newest frame when several wait. */
  readonly latest: boolean;
}

/** A connection that lived this long was accepted by the receiver. */
const ACCEPTED_MS = 2000;
/** After the last frame, how long the receiver of a younger connection may take to say that it refuses the stream. */
const LAST_WORD_MS = 1000;
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
  try {
    return await sender.connection.untilEnded(options.signal, () => sender.stop());
  } catch (error) {
    if (error instanceof Refused) sender.countAsLost();
    throw error;
  }
}

/** Of a refusal. */
const FIRST_BYTE = FRAME_MAGIC >>> 24;

const speaks = (name: string) =>
  new ProtocolError(
    `${name}: what is there sent something, a receiver sends nothing; check --address and --port`,
  );

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
  /** Sent bytes of the whole connection. */
  #total = 0;
  #stopping = false;
  /** Everything was sent; the receiver may still refuse it. */
  #finishing = false;
  readonly #startedMs = performance.now();
  readonly #before: { readonly frames: number; readonly bytes: number };
  readonly #inbox = new Inbox("refusal", 32, refusal.size);
  readonly #answer = refusal.alloc();
  readonly #refusal = new RefusalReader();

  constructor(options: CopySendOptions) {
    const { loop, socket, source } = options;
    this.#socket = socket;
    this.#source = source;
    this.#options = options;
    this.#before = { frames: options.stats.frames, bytes: options.stats.bytes };
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
    this.#sourceWatch = connection.watchSource(source, (events) => this.#onSource(events));
    this.#socketWatch = connection.watch(socket.number, EPOLLOUT | EPOLLIN | EPOLLRDHUP, (events) =>
      this.#onSocket(events),
    );
    watchHost(connection, socket);
    connection.limitStalls({
      stallMs: options.stallMs,
      waiting: () => this.#sending.left > 0,
      bytes: () => this.#total,
      text: (seconds) =>
        `${socket.name}: the receiver took nothing for ${seconds} s, ${this.#sending.left} bytes of a message are left`,
      notice: () =>
        `${socket.name}: the receiver takes nothing: it is paused, or serves another sender; waiting (--stall-timeout sets a limit)`,
    });
  }

  /** Starts no more frames. The current one may be completed, so that the receiver sees a clean end. */
  stop(): void {
    this.#stopping = true;
    if (this.#finishing) this.connection.finish("done");
    else if (this.#frame === undefined && this.#sending.left === 0) this.#finish("stopped");
    else this.connection.after(LAST_FRAME_MS, () => this.#finish("stopped"));
  }

  #finish(how: SendEnd): void {
    finishSending(this.#socket);
    if (how === "stopped" || !this.#isYoung) {
      this.connection.finish(how);
      return;
    }
    this.#finishing = true;
    this.#waitFor(0, 0);
    this.connection.after(LAST_WORD_MS, () => this.connection.finish(how));
  }

  get #isYoung(): boolean {
    return performance.now() - this.#startedMs < ACCEPTED_MS;
  }

  /** Counts the frames of a refused connection as dropped: the receiver took none of them. */
  countAsLost(): void {
    if (!this.#isYoung) return;
    const { stats, passed } = this.#options;
    const frames = stats.frames - this.#before.frames;
    stats.takeBack(frames, stats.bytes - this.#before.bytes);
    passed(frames);
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
    if ((events & EPOLLOUT) !== 0 && !this.connection.over) this.#pump();
  }

  /** Sends the rest of the current message, then frames while the source has some and the socket takes them. */
  #pump(): void {
    const untilMs = performance.now() + BURST_MS;
    do {
      const { left } = this.#sending;
      const sent = this.#sending.send(this.#socket);
      this.#total += left - this.#sending.left;
      if (sent === "again") {
        this.#waitFor(EPOLLOUT, this.#live ? SOURCE_EVENTS : EPOLLPRI);
        return;
      }
      if (typeof sent === "number") {
        this.#checkPeer(); // it may have said why
        throw new PeerGone("send", this.#socket.name, -sent);
      }
      if (this.#frame !== undefined) this.#sent(this.#frame);
      else if (this.#options.stats.frames >= this.#options.frames) this.#finish("done"); // -n 0
      if (this.connection.over || this.#finishing) return;
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

  /** Reads what the receiver sends, which can only be a refusal, and notices its close. Throws Refused or PeerGone. */
  #checkPeer(): void {
    const { name } = this.#socket;
    for (;;) {
      while (this.#inbox.take(this.#answer.$bytes)) {
        if (this.#refusal.begun) this.#refusal.add(this.#answer.$bytes, name);
        else if (!this.#refusal.begin(this.#answer.$bytes, name)) throw speaks(name);
      }
      const { first } = this.#inbox;
      if (first !== undefined && first !== FIRST_BYTE && !this.#refusal.begun) throw speaks(name);
      const filled = this.#inbox.fill(this.#socket);
      if (filled === "nothing") return;
      if (filled === "some") continue;
      if (!this.#finishing) throw new PeerGone("recv", name, "the receiver closed the connection");
      this.connection.finish("done");
      return;
    }
  }

  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
    this.#frame?.[Symbol.dispose]();
    this.#frame = undefined;
    this.#waiting?.[Symbol.dispose]();
    this.#waiting = undefined;
  }
}
