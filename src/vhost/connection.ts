// The connection of one front-end: reads messages and answers them in order. A bad message ends at most this connection.
// vhost-user, "Message format", "Communication".
import { receiveWithDescriptors, sendWithDescriptors } from "../../ffi/descriptors.ts";
import { EPOLLIN, EPOLLOUT } from "../../ffi/epoll.ts";
import { errno, SysError } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { log } from "../cli/log.ts";
import { isExpected, ProtocolError } from "../errors.ts";
import type { Loop, Watch } from "../loop.ts";
import { noCounts, type QueueCounts } from "./counts.ts";
import type { Answer, Message, MessageRow } from "./message.ts";
import { messageRow, offeredProtocolFeatures } from "./messages.ts";
import * as p from "./payloads.ts";
import type { MakeDevice } from "./queues.ts";
import { asRefused, RequestRefused } from "./request-refused.ts";
import { Session } from "./session.ts";

/** Limit for receiving one message: a front-end that stalls inside one must not keep the next front-end waiting. */
const MESSAGE_LIMIT_MS = 5000;
/** Headers and payloads read in one turn, so that other descriptors of the loop are served, too. */
const TURN = 128;
/** Log lines that a front-end and its guest can cause. */
const MAX_COMPLAINTS = 20;

/** Made at each use, because a sub-logger keeps the level it was made with. */
const out = () => log.withTag("vhost");

/** How a connection ended: the front-end left, or the error for which it was closed. */
export type End = "left" | Error;

export class Connection implements Disposable {
  readonly session: Session;
  /** Settles at the end of the connection, which must then be disposed. */
  readonly over: Promise<End>;
  readonly #loop: Loop;
  readonly #socket: Fd;
  readonly #watch: Watch;
  readonly #end: (end: End) => void;
  readonly #input = new Uint8Array(new ArrayBuffer(p.header.size + p.MAX_PAYLOAD));
  readonly #inputAt = addressOf(this.#input);
  readonly #header = p.header.over(this.#input);
  /** Descriptors of the message being received. */
  #fds: Fd[] = [];
  #got = 0;
  #limit: Disposable | undefined;
  /** The part of an answer that the socket did not take yet. While there is one, no request is read. */
  #unsent: Uint8Array<ArrayBuffer> | undefined;
  #complaints = 0;
  #ended = false;

  /** Serves the front-end on `socket` and owns the socket. Counts in `counts`. */
  constructor(loop: Loop, socket: Fd, makeDevice: MakeDevice, counts: QueueCounts = noCounts()) {
    this.#loop = loop;
    this.#socket = socket;
    const { promise, resolve } = loop.promise<End>();
    this.over = promise;
    this.#end = (end) => {
      if (this.#ended) return;
      this.#ended = true;
      this.#watch.setEvents(0);
      resolve(end);
    };
    using owned = new DisposableStack();
    owned.use(socket);
    socket.setNonBlocking(true); // an inherited socket may be blocking
    const events = {
      counts,
      complain: (text: string) => this.#complain(text),
      failed: (error: unknown) => this.#failed(error),
    };
    this.session = owned.use(new Session(loop, makeDevice, events, offeredProtocolFeatures));
    this.#watch = loop.watch(socket.number, EPOLLIN, () => this.#onReady());
    owned.move();
  }

  #onReady(): void {
    try {
      if (this.#unsent !== undefined && !this.#flush()) return;
      for (let parts = 0; parts < TURN; parts++) {
        if (this.#ended || this.#unsent !== undefined || !this.#receive()) return;
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    // A defect of ours is logged with its stack and ends this connection only.
    if (!isExpected(error)) out().error(`a defect: ${Bun.inspect(error)}`);
    this.#end(error instanceof Error ? error : new Error(String(error)));
  }

  /** Receives the next part of a message, and runs a complete one. False when there is nothing to read now. */
  #receive(): boolean {
    const wanted = this.#got < p.header.size ? p.header.size : p.header.size + this.#header.size;
    if (this.#got < wanted) {
      const at = this.#inputAt + this.#got;
      const r = receiveWithDescriptors(this.#socket, at, wanted - this.#got, this.#fds);
      if (r === -errno.EAGAIN) return false;
      if (r === -errno.ECONNRESET) return this.#close();
      if (r < 0) throw new SysError("recvmsg", this.#socket.name, -r);
      if (r === 0) return this.#close();
      this.#got += r;
      this.#limit ??= this.#loop.after(MESSAGE_LIMIT_MS, () => {
        this.#end(new ProtocolError(`a message was not complete after ${MESSAGE_LIMIT_MS} ms`));
      });
      if (this.#got < wanted) return true;
      if (wanted === p.header.size) {
        this.#checkHeader();
        if (this.#header.size > 0) return true;
      }
    }
    this.#dispatch();
    return true;
  }

  #close(): false {
    const inside = this.#got > 0;
    this.#end(inside ? new ProtocolError("it left in the middle of a message") : "left");
    return false;
  }

  #checkHeader(): void {
    const { request, flags, size } = this.#header;
    const version = flags & p.VERSION_MASK;
    if (version !== p.VERSION) throw new ProtocolError(`request ${request}: version ${version}`);
    if ((flags & p.FLAG_REPLY) !== 0) throw new ProtocolError(`request ${request} is an answer`);
    if (size > p.MAX_PAYLOAD) {
      throw new ProtocolError(`request ${request}: ${size} bytes, ${p.MAX_PAYLOAD} are possible`);
    }
  }

  #dispatch(): void {
    const { request, flags, size } = this.#header;
    const needReply = (flags & p.FLAG_NEED_REPLY) !== 0;
    const bytes = this.#input.slice(p.header.size, p.header.size + size);
    const message: Message = { bytes, fds: this.#fds };
    this.#fds = [];
    this.#got = 0;
    this.#limit?.[Symbol.dispose]();
    this.#limit = undefined;
    const row = messageRow(request);
    try {
      const answer = this.#run(row, message);
      if (answer !== undefined) this.#answer(request, answer);
      else this.#acknowledge(row, needReply, 0n);
    } catch (error) {
      const refused = asRefused(error);
      if (refused === undefined) throw error;
      this.#refuse(row, needReply, refused);
    } finally {
      for (const fd of message.fds) fd[Symbol.dispose]();
    }
  }

  #run(row: MessageRow, message: Message): Answer | undefined {
    const { run, size, fds = 0, needs } = row;
    if (run === undefined) throw new RequestRefused("not supported");
    if (needs !== undefined && !this.session.has(needs)) throw new RequestRefused("not negotiated");
    const length = message.bytes.length;
    const right = typeof size === "object" ? length >= size.from : length === size;
    if (!right) throw new RequestRefused(`a payload of ${length} bytes`);
    if (message.fds.length > fds) throw new RequestRefused(`${message.fds.length} descriptors`);
    return run(this.session, message);
  }

  #refuse(row: MessageRow, needReply: boolean, refused: RequestRefused): void {
    this.#complain(`${row.name}: ${refused.message}`);
    // A front-end that waits for an answer gets one that means failure, or the end of the connection.
    if (row.answers === undefined) this.#acknowledge(row, needReply, 1n);
    else if (row.refusal !== undefined) this.#answer(row.request, { bytes: row.refusal() });
    else throw new ProtocolError(`${row.name}: ${refused.message}`);
  }

  #acknowledge({ request }: MessageRow, needReply: boolean, value: bigint): void {
    if (!needReply || !this.session.has("REPLY_ACK")) return;
    const word = p.word.alloc();
    word.value = value;
    this.#answer(request, { bytes: word.$bytes });
  }

  #answer(request: number, { bytes, fd }: Answer): void {
    using _fd = fd;
    const message = new Uint8Array(new ArrayBuffer(p.header.size + bytes.length));
    const header = p.header.over(message);
    header.request = request;
    header.flags = p.ANSWER_FLAGS;
    header.size = bytes.length;
    message.set(bytes, p.header.size);
    this.#send(message, fd === undefined ? [] : [fd.number]);
  }

  #send(message: Uint8Array<ArrayBuffer>, fds: readonly number[]): void {
    const r = sendWithDescriptors(this.#socket, addressOf(message), message.length, fds);
    if (r === -errno.EPIPE || r === -errno.ECONNRESET) {
      this.#end("left");
      return;
    }
    if (r === -errno.EAGAIN && fds.length > 0) {
      throw new ProtocolError("it does not read its answers");
    }
    if (r < 0 && r !== -errno.EAGAIN) throw new SysError("sendmsg", this.#socket.name, -r);
    const sent = Math.max(r, 0);
    if (sent === message.length) return;
    this.#unsent = message.slice(sent);
    this.#watch.setEvents(EPOLLOUT);
  }

  /** Sends the rest of an answer; true when all of it was sent. */
  #flush(): boolean {
    const rest = this.#unsent;
    if (rest === undefined) return true;
    this.#unsent = undefined;
    this.#send(rest, []);
    if (this.#unsent !== undefined || this.#ended) return false;
    this.#watch.setEvents(EPOLLIN);
    return true;
  }

  #complain(text: string): void {
    this.#complaints += 1;
    if (this.#complaints < MAX_COMPLAINTS) out().warn(text);
    else if (this.#complaints === MAX_COMPLAINTS)
      out().warn(
        `${text}; further messages about this front-end are logged with --log-level debug`,
      );
    else out().debug(text);
  }

  [Symbol.dispose](): void {
    this.#end("left");
    this.#watch[Symbol.dispose]();
    this.#limit?.[Symbol.dispose]();
    for (const fd of this.#fds.splice(0)) fd[Symbol.dispose]();
    this.session[Symbol.dispose]();
    this.#socket[Symbol.dispose]();
  }
}
