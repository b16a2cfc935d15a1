// One end of the socket between the daemon and the process of a decoder: collects records into packets, and takes packets apart.
// Its memory is made once; a record costs no allocation.
import { errno, SysError } from "../../../../ffi/errno.ts";
import type { Fd } from "../../../../ffi/fd.ts";
import { addressOf } from "../../../../ffi/libc.ts";
import { receive, receiveBlocking, send, sendBlocking } from "../../../../ffi/socket.ts";
import type { Struct } from "../../../../ffi/struct.ts";
import { failure, MAX_RECORDS, RECORD_BYTES, record } from "./messages.ts";

export type DecoderRecord = Struct<typeof record.fields>;

/** Records that may wait to be sent. Slots and generations bound what is in flight, so more means a defect or a peer that is stuck. */
const MAX_WAITING = 64;

/**
 * Whether a failed call is to be made again. In the fence (fence.ts) the runtime, too, is denied system calls, also between a call of
 * ours and the reading of errno: errno is EPERM then, whatever it was. recv and send themselves are not denied.
 */
export const isOverwritten = (code: number) => code === -errno.EPERM;

export class Channel implements Disposable {
  readonly socket: Fd;
  readonly #outgoing = new Uint8Array(new ArrayBuffer(MAX_WAITING * RECORD_BYTES));
  readonly #outgoingAt = addressOf(this.#outgoing);
  readonly #posted = Array.from({ length: MAX_WAITING }, (_, i) =>
    record.over(this.#outgoing, i * RECORD_BYTES),
  );
  readonly #incoming = new Uint8Array(new ArrayBuffer(MAX_RECORDS * RECORD_BYTES));
  readonly #incomingAt = addressOf(this.#incoming);
  /** The records of the packet that was received last. */
  readonly received = Array.from({ length: MAX_RECORDS }, (_, i) =>
    record.over(this.#incoming, i * RECORD_BYTES),
  );
  #sent = 0;
  #count = 0;
  /** Written to every record. */
  generation = 0;

  /** Owns `socket`. */
  constructor(socket: Fd) {
    this.socket = socket;
  }

  /** Whether records wait to be sent. */
  get waiting(): boolean {
    return this.#count > this.#sent;
  }

  /** A zeroed record of that type at the end of those that wait. Throws SysError when too many wait. */
  post(type: number): DecoderRecord {
    const next = this.#posted[this.#count];
    if (next === undefined) throw new SysError("send", this.socket.name, errno.ENOBUFS);
    const at = this.#count * RECORD_BYTES;
    this.#outgoing.fill(0, at, at + RECORD_BYTES);
    this.#count += 1;
    next.type = type;
    next.generation = this.generation;
    return next;
  }

  /** The record that was posted last, as a `failure`. */
  get asFailure(): Struct<typeof failure.fields> {
    return failure.over(this.#outgoing, (this.#count - 1) * RECORD_BYTES);
  }

  /** A received record, as a `failure`. */
  failureAt(index: number): Struct<typeof failure.fields> {
    return failure.over(this.#incoming, index * RECORD_BYTES);
  }

  /** Sends what waits, as far as the socket takes it. Answers 0 or a negative errno; EAGAIN is 0, and `waiting` stays true. */
  flush(): number {
    return this.#flush(send);
  }

  /** Sends all that waits and blocks the thread meanwhile. Answers 0 or a negative errno. */
  flushBlocking(): number {
    return this.#flush(sendBlocking);
  }

  #flush(how: typeof send): number {
    while (this.waiting) {
      const records = Math.min(MAX_RECORDS, this.#count - this.#sent);
      const at = this.#outgoingAt + this.#sent * RECORD_BYTES;
      const r = how(this.socket, at, records * RECORD_BYTES);
      if (r === -errno.EAGAIN) {
        this.#moveUp();
        return 0;
      }
      if (r < 0) return r;
      this.#sent += records;
    }
    this.#sent = 0;
    this.#count = 0;
    return 0;
  }

  /** Makes room behind the records that still wait. */
  #moveUp(): void {
    this.#outgoing.copyWithin(0, this.#sent * RECORD_BYTES, this.#count * RECORD_BYTES);
    this.#count -= this.#sent;
    this.#sent = 0;
  }

  /** Receives a packet: its records, 0 when the peer has gone, or a negative errno; EBADMSG for a packet of another size. */
  receive(): number {
    return this.#records(receive(this.socket, this.#incomingAt, this.#incoming.length));
  }

  /** Like `receive`, and blocks the thread until there is a packet. */
  receiveBlocking(): number {
    return this.#records(receiveBlocking(this.socket, this.#incomingAt, this.#incoming.length));
  }

  #records(bytes: number): number {
    if (bytes <= 0) return bytes;
    return bytes % RECORD_BYTES === 0 ? bytes / RECORD_BYTES : -errno.EBADMSG;
  }

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
  }
}
