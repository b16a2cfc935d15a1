// The zero-copy sender, for one connection: hello, handles, then 48 bytes per frame. A frame's buffer is given back to the
// camera when the receiver acknowledges the frame, or when the connection ends.
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP } from "../../../ffi/epoll.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { finishSending } from "../../../ffi/socket.ts";
import { countedWere } from "../../cli/counted.ts";
import { log } from "../../cli/log.ts";
import { addLatency, stampedUs } from "../../cli/stats.ts";
import { PeerGone, SourceEnded } from "../../errors.ts";
import { wholeBytes } from "../../format/picture-layout.ts";
import type { Frame } from "../../frame/frame.ts";
import type { SharedSource } from "../../frame/sharing.ts";
import type { Source } from "../../frame/source.ts";
import type { Watch } from "../../loop.ts";
import { Connection, type SendEnd } from "../connection.ts";
import type { FeedRun } from "../feed.ts";
import { FRAME_MAGIC } from "../hello.ts";
import { Inbox } from "../inbox.ts";
import { Outbox } from "../outbox.ts";
import { RefusalReader } from "../refusal.ts";
import { watchHost } from "../socket/liveness.ts";
import { sendAtOnce } from "../socket/same-host.ts";
import { Greeting } from "./greeting.ts";
import { type LendCounts, overdueText } from "./lend-counts.ts";
import { LentBuffers } from "./lent-buffers.ts";
import { wordsOf, zcAck, zcFrame } from "./messages.ts";

export interface LendOptions extends Omit<FeedRun, "passed"> {
  /** Its source has been started. */
  readonly shared: SharedSource;
  /** 0: never. */
  readonly ackTimeoutMs: number;
  /** Give buffers back to the camera after the timeout, instead of leaving them lent. */
  readonly requeue: boolean;
  readonly counts: LendCounts;
  /** Most frames in flight; by default all buffers but one. */
  readonly inFlight?: number;
}

/** How long the receiver may take to return all frames and to close, after the last frame or after a stop request. */
const DONE_MS = 1000;
const STOP_MS = 150;

/**
 * Lends frames until there were enough ("done") or `signal` aborts ("stopped").
 * All frames were given back to the source when it settles. Throws ProtocolError when the receiver is wrong or gone,
 * SourceEnded when the source ends.
 */
export async function lendFrames(options: LendOptions): Promise<SendEnd> {
  using sender = new ZeroCopySender(options);
  try {
    return await sender.connection.untilEnded(options.signal, () => sender.stop());
  } catch (error) {
    sender.countAsLost();
    throw error;
  }
}

class ZeroCopySender implements Disposable {
  readonly #socket: Fd;
  readonly #source: Source;
  readonly #options: LendOptions;
  /** A frame with fewer bytes is short. */
  readonly #whole: number;
  readonly connection: Connection<SendEnd>;
  readonly #socketWatch: Watch;
  readonly #sourceWatch: Watch;
  readonly #greeting: Greeting;
  readonly #lent: LentBuffers;
  readonly #words: readonly { readonly high: number; readonly low: number }[];
  readonly #inFlight: number;
  readonly #outbox: Outbox;
  readonly #inbox: Inbox;
  readonly #frame = zcFrame.alloc();
  readonly #ack = zcAck.alloc();
  readonly #refusal = new RefusalReader();
  #sent = 0;
  #greeted = false;
  /** The loop watches the source for frames, so it is not polled at other times. */
  #watchingSource = false;
  #warned = false;
  #leaving: SendEnd | undefined;
  #finished = false;

  constructor(options: LendOptions) {
    const { loop, socket, shared } = options;
    const { source, exporter } = shared;
    this.#socket = socket;
    this.#source = source;
    sendAtOnce(socket);
    this.#options = options;
    this.#whole = wholeBytes(source.picture);
    this.connection = new Connection(loop);
    const { length } = source.frames;
    const ids = exporter.handles.map(({ id }) => id);
    this.#greeting = new Greeting(shared);
    const limitMs = options.ackTimeoutMs === 0 ? Number.POSITIVE_INFINITY : options.ackTimeoutMs;
    this.#lent = new LentBuffers(ids, limitMs, options.counts);
    this.#words = ids.map(wordsOf);
    this.#inFlight = Math.min(
      options.inFlight ?? Number.POSITIVE_INFINITY,
      Math.max(1, length - 1),
    );
    this.#outbox = new Outbox(2 * length, zcFrame.size);
    this.#inbox = new Inbox("ack", 2 * length, zcAck.size);
    this.#frame.magic = FRAME_MAGIC;
    const { connection } = this;
    this.#sourceWatch = connection.watchSource(source, (events) => this.#onSource(events));
    this.#socketWatch = connection.watch(socket.number, EPOLLOUT | EPOLLIN | EPOLLRDHUP, (events) =>
      this.#onSocket(events),
    );
    watchHost(connection, socket);
    connection.limitStalls({
      stallMs: options.stallMs,
      waiting: () => this.#lent.count > 0 || !this.#greeted || !this.#outbox.empty,
      bytes: () => this.#greeting.sent + this.#outbox.sent + this.#inbox.received,
      text: (seconds) =>
        `${socket.name}: the receiver took and returned nothing for ${seconds} s, ${this.#lent.count} frames are lent to it`,
    });
    if (options.ackTimeoutMs === 0) return;
    const periodMs = Math.min(1000, Math.max(10, options.ackTimeoutMs / 2));
    connection.every(periodMs, () => this.#checkOverdue());
  }

  /** Lends no more frames. The receiver may return its frames and close, within STOP_MS. */
  stop(): void {
    this.#leave("stopped");
    this.#pump();
  }

  #leave(how: SendEnd): void {
    this.#leaving ??= how;
    if (how === "done" && this.#options.ackTimeoutMs === 0) return; // waits for ever
    const patienceMs = how === "stopped" ? STOP_MS : Math.max(DONE_MS, this.#options.ackTimeoutMs);
    this.connection.after(patienceMs, () => this.#finish());
  }

  #finish(): void {
    if (this.connection.over) return;
    finishSending(this.#socket);
    this.connection.finish(this.#leaving ?? "done");
  }

  #onSource(events: number): void {
    if ((events & EPOLLPRI) !== 0) this.#source.urgent?.();
    const before = this.#sent;
    this.#pump(true);
    if ((events & (EPOLLERR | EPOLLHUP)) === 0 || this.#sent > before) return;
    throw new SourceEnded(`poll ${this.#source.name}: the device reports an error (POLLERR)`, true);
  }

  #onSocket(events: number): void {
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) !== 0) this.#readAcks();
    if (!this.connection.over) this.#pump();
  }

  /**
   * Lends frames of the source while fewer than the most are in flight, and sends their messages. A camera is asked for
   * one frame per turn: asking again costs as much as the next turn of the loop.
   */
  #pump(hasFrame = !this.#watchingSource): void {
    if (!this.#greeted && !this.#flush(this.#greeting)) {
      this.#waitFor(EPOLLOUT, false);
      return;
    }
    if (!this.#greeted && this.#options.stats.frames >= this.#options.frames) this.#leave("done"); // -n 0
    this.#greeted = true;
    for (let more = hasFrame; more && this.#mayLend(); more = this.#source.onDemand === true) {
      const frame = this.#source.next();
      if (frame === undefined) {
        if (this.#source.exhausted === true) this.#leave("done");
        break;
      }
      this.#lend(frame);
    }
    const flushed = this.#flush(this.#outbox);
    if (this.#leaving !== undefined && flushed && this.#lent.count === 0) this.#closeOurSide();
    this.#waitFor(flushed ? 0 : EPOLLOUT, this.#mayLend());
  }

  /** Sends what waits. When the receiver is gone, it may have said why. */
  #flush(box: Greeting | Outbox): boolean {
    try {
      return box.flush(this.#socket);
    } catch (error) {
      this.#readAcks();
      throw error;
    }
  }

  #mayLend(): boolean {
    if (this.#leaving !== undefined || this.#lent.count >= this.#inFlight) return false;
    return this.#outbox.takes(zcFrame.size);
  }

  #lend(frame: Frame): void {
    const words = this.#words[frame.index];
    if (words === undefined) throw new RangeError(`frame ${frame.index} has no handle`);
    this.#lent.lend(frame, performance.now());
    const message = this.#frame;
    message.buffer_index = frame.index;
    message.bytesused = frame.bytesused;
    message.flags = frame.flags;
    message.handle_high = words.high;
    message.handle_low = words.low;
    message.sequence = frame.sequence;
    message.ts_sec = frame.tsSec;
    message.ts_usec = frame.tsUsec;
    this.#outbox.push(message.$bytes);
    this.#sent += 1;
    const { stats, frames } = this.#options;
    stats.frame(frame.bytesused);
    if (frame.bytesused < this.#whole) stats.short += 1;
    if (stats.frames >= frames) this.#leave("done");
  }

  /** All frames were sent and all buffers were returned. The receiver now unmaps the buffers and closes. */
  #closeOurSide(): void {
    if (this.#finished) return;
    this.#finished = true;
    finishSending(this.#socket);
  }

  #readAcks(): void {
    for (;;) {
      while (this.#inbox.take(this.#ack.$bytes)) this.#settle();
      const filled = this.#inbox.fill(this.#socket);
      if (filled === "nothing") return;
      if (filled === "some") continue;
      const { count } = this.#lent;
      if (this.#leaving === undefined || count > 0) {
        const held = count > 0 ? `, ${countedWere(count, "frame")} lent to it` : "";
        throw new PeerGone("recv", this.#socket.name, `the receiver closed the connection${held}`);
      }
      this.#finish();
      return;
    }
  }

  /** Counts frames that were not returned as lost, and no longer as sent. */
  countAsLost(): void {
    const { stats, counts } = this.#options;
    for (const { bytesused } of this.#lent.frames) {
      stats.takeBack(1, bytesused);
      counts.lost += 1;
    }
  }

  #settle(): void {
    const { counts, stats } = this.#options;
    const { name } = this.#socket;
    if (this.#refusal.begun) {
      this.#refusal.add(this.#ack.$bytes, name);
      return;
    }
    if (this.#ack.status !== 0 && this.#refusal.begin(this.#ack.$bytes, name)) return;
    const frame = this.#lent.settle(this.#ack, performance.now());
    if (frame === undefined) {
      counts.late += 1;
      return;
    }
    counts.returned += 1;
    if (this.#ack.status !== 0) counts.refused += 1;
    addLatency(stats.latency, stampedUs(frame.flags, frame.tsSec, frame.tsUsec));
    frame[Symbol.dispose]();
  }

  #checkOverdue(): void {
    const { ackTimeoutMs, requeue } = this.#options;
    const overdue = this.#lent.markOverdue(performance.now());
    if (overdue === 0) return;
    if (!this.#warned) {
      this.#warned = true;
      log.warn(`${this.#socket.name}: ${overdueText(overdue, ackTimeoutMs, requeue)}`);
    }
    if (!requeue) return;
    for (let frame = this.#lent.takeBack(); frame; frame = this.#lent.takeBack()) {
      frame[Symbol.dispose]();
    }
    this.#pump();
  }

  #waitFor(socketEvents: number, frames: boolean): void {
    if (this.connection.over) return;
    this.#watchingSource = frames;
    this.#socketWatch.setEvents(socketEvents | EPOLLIN | EPOLLRDHUP);
    // Older kernels report an error (EPOLLERR) for a device without a queued buffer.
    const hasBuffers = this.#lent.count < this.#source.frames.length;
    this.#sourceWatch.setEvents(frames ? EPOLLIN | EPOLLPRI : hasBuffers ? EPOLLPRI : 0);
  }

  /** Gives all lent frames back to the source. */
  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
    this.#source.stop(); // first, so that frames given back are not queued: the device may be gone
    for (let frame = this.#lent.takeAny(); frame; frame = this.#lent.takeAny()) {
      frame[Symbol.dispose]();
    }
  }
}
