// Why a receiver refuses a stream, sent to the sender just before the close: docs/protocol.md. In both flows it begins like an
// acknowledgement with a status: a C sender_zc reads that as an error, a C sender reads nothing at all.
import { EPOLLIN } from "../../ffi/epoll.ts";
import { errno } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { finishSending, receive, send } from "../../ffi/socket.ts";
import { bytes, struct, u32 } from "../../ffi/struct.ts";
import { ProtocolError } from "../errors.ts";
import type { Loop } from "../loop.ts";
import { FRAME_MAGIC } from "./hello.ts";

/** What the reason's bytes are cut to. */
export const MAX_REASON = 480;
/** "FPREFUS1": where an acknowledgement has a handle's number. */
const MARK_HIGH = 0x46505245;
const MARK_LOW = 0x46555331;
/** The status of an acknowledgement that refuses. */
const REFUSED = 1;

/** The first message; the reason follows in messages of the same size, the last one filled with zeros. */
export const refusal = struct(
  "refusal",
  24,
  {
    magic: u32(0),
    status: u32(4),
    mark: u32(8),
    version: u32(12),
    reserved: u32(16),
    length: u32(20),
    text: bytes(0, 24), // of the messages that follow
  },
  "big",
);

/** The stream was refused by the receiver, which said why. */
export class Refused extends ProtocolError {
  override readonly name = "Refused";
  constructor(peer: string, reason: string) {
    super(`${peer}: the receiver refused the stream: ${reason}`);
  }
}

/** The message for `reason`, which is cut to MAX_REASON bytes. */
export function makeRefusal(reason: string): Uint8Array<ArrayBuffer> {
  const text = new Uint8Array(MAX_REASON);
  const { written } = new TextEncoder().encodeInto(reason, text); // cuts between characters
  const rest = Math.ceil(written / refusal.size) * refusal.size;
  const all = new Uint8Array(new ArrayBuffer(refusal.size + rest));
  const head = refusal.over(all);
  head.magic = FRAME_MAGIC;
  head.status = REFUSED;
  head.mark = MARK_HIGH;
  head.version = MARK_LOW;
  head.length = written;
  all.set(text.subarray(0, written), refusal.size);
  return all;
}

/** Reads a refusal from messages of 24 bytes. */
export class RefusalReader {
  readonly #head = refusal.alloc();
  #text = new Uint8Array(new ArrayBuffer(0));
  #got = 0;

  /** Whether a refusal has begun: the next messages belong to it. */
  get begun(): boolean {
    return this.#text.length > 0;
  }

  /** Whether `message` begins a refusal. Throws Refused for one without a reason, ProtocolError for one too long. */
  begin(message: Uint8Array<ArrayBuffer>, peer: string): boolean {
    this.#head.$bytes.set(message);
    const { magic, status, mark, version, length } = this.#head;
    if (magic !== FRAME_MAGIC || status === 0 || mark !== MARK_HIGH || version !== MARK_LOW)
      return false;
    if (length > MAX_REASON)
      throw new ProtocolError(`refusal: length is ${length}, must be 0 to ${MAX_REASON}`);
    if (length === 0) throw new Refused(peer, "it gave no reason");
    this.#text = new Uint8Array(new ArrayBuffer(length));
    return true;
  }

  /** Takes the next part of the reason. Throws Refused when it is complete. */
  add(message: Uint8Array<ArrayBuffer>, peer: string): void {
    const left = this.#text.length - this.#got;
    this.#text.set(message.subarray(0, left), this.#got);
    this.#got += message.length;
    if (this.#got >= this.#text.length) throw new Refused(peer, readable(this.#text));
  }
}

/** Text of a peer in one line, without what controls a terminal or hides other text. */
function readable(text: Uint8Array): string {
  return new TextDecoder().decode(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
}

/** How long a refused sender may go on sending before the connection is closed. */
const DRAIN_MS = 300;
const DRAIN_BYTES = 65_536;

/**
 * Sends `reason`, ends sending, and discards what arrives until the sender closes or DRAIN_MS have passed: a close with
 * bytes unread would reset the connection, and the reason would be lost. The caller closes the socket afterwards.
 */
export async function refuse(
  loop: Loop,
  socket: Fd,
  reason: string,
  signal: AbortSignal,
): Promise<void> {
  const message = makeRefusal(reason);
  if (send(socket, addressOf(message), message.length) !== message.length) return;
  finishSending(socket);
  const scrap = new Uint8Array(new ArrayBuffer(DRAIN_BYTES));
  const { promise, resolve } = loop.promise<void>();
  using _watch = loop.watch(socket.number, EPOLLIN, () => {
    const r = receive(socket, addressOf(scrap), scrap.length);
    if (r <= 0 && r !== -errno.EAGAIN && r !== -errno.EINTR) resolve();
  });
  using _limit = loop.after(DRAIN_MS, resolve);
  const abort = () => resolve();
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  try {
    await promise;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
