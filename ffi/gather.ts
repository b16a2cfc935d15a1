// A list of pieces of memory, sent with sendmsg or written with writev. The list is made once. Sending it copies and
// allocates nothing, and the next call resumes after a short write.
import { copyMemory } from "./copy.ts";
import { errno, result } from "./errno.ts";
import type { Fd } from "./fd.ts";
import { addressOf, libc } from "./libc.ts";
import { IOV_MAX, iovec, MSG_DONTWAIT, MSG_NOSIGNAL, msghdr } from "./linux/socket.ts";

/** A piece of memory, which the caller keeps alive. */
export interface Piece {
  readonly address: number;
  readonly length: number;
}

/** Result of a send: all sent; not yet all, try when the descriptor is writable; or a negative errno. */
export type Sent = "done" | "again" | number;

export class Gather {
  readonly #pieces: Piece[];
  readonly #table: DataView<ArrayBuffer>;
  readonly #tableAt: number;
  readonly #message = msghdr.alloc();
  readonly #messageAt = this.#message.$address;
  #total = 0;
  #last: number;
  #at = 0; // index of the piece being sent
  #within = 0; // bytes of it already sent
  #left = 0;

  constructor(pieces: readonly Piece[]) {
    this.#pieces = [...pieces];
    const table = new Uint8Array(new ArrayBuffer(iovec.size * pieces.length));
    this.#table = new DataView(table.buffer);
    this.#tableAt = addressOf(table);
    this.#last = pieces.length - 1;
    for (const [i, piece] of pieces.entries()) {
      this.#write(i, piece.address, piece.length);
      this.#total += piece.length;
    }
    this.#left = this.#total;
  }

  /** Bytes not yet sent. */
  get left(): number {
    return this.#left;
  }

  /** Bytes of the whole message. */
  get total(): number {
    return this.#total;
  }

  /** Restarts the message. `lastLength` sets the length of the last piece, for a frame smaller than its buffer. */
  rewind(lastLength?: number): void {
    const touched = this.#pieces[this.#at];
    if (touched !== undefined) this.#write(this.#at, touched.address, touched.length);
    if (lastLength !== undefined) {
      const last = this.#pieces[this.#last];
      if (last === undefined || lastLength < 0)
        throw new RangeError(`last piece of ${lastLength} bytes`);
      if (lastLength !== last.length) {
        this.#total += lastLength - last.length;
        this.#pieces[this.#last] = { address: last.address, length: lastLength };
        this.#write(this.#last, last.address, lastLength);
      }
    }
    this.#at = 0;
    this.#within = 0;
    this.#left = this.#total;
  }

  /** A copy of the bytes not yet sent, for memory whose owner takes it back. */
  rest(): Uint8Array<ArrayBuffer> {
    const copy = new Uint8Array(new ArrayBuffer(this.#left));
    let done = 0;
    for (let i = this.#at; i < this.#pieces.length && done < copy.length; i++) {
      const { address, length } = this.#pieces[i] ?? { address: 0, length: 0 };
      const skip = i === this.#at ? this.#within : 0;
      copyMemory(addressOf(copy) + done, address + skip, length - skip);
      done += length - skip;
    }
    return copy;
  }

  /** Sends what the socket takes without blocking. */
  send(socket: Fd): Sent {
    return this.#go(socket, true);
  }

  /** Writes to a file or pipe. Answers "again" only if it is non-blocking. */
  write(file: Fd): Sent {
    return this.#go(file, false);
  }

  #go(to: Fd, socket: boolean): Sent {
    while (this.#left > 0) {
      const table = this.#tableAt + this.#at * iovec.size;
      const count = Math.min(this.#pieces.length - this.#at, IOV_MAX);
      const r = socket
        ? this.#sendmsg(to.number, table, count)
        : result(libc.writev(to.number, table, count));
      if (r === -errno.EAGAIN) return "again";
      if (r === -errno.EINTR) continue;
      if (r < 0) return r;
      this.#left -= r;
      this.#advance(r);
    }
    return "done";
  }

  #sendmsg(socket: number, table: number, count: number): number {
    this.#message.msg_iov = table;
    this.#message.msg_iovlen = count;
    return result(libc.sendmsg(socket, this.#messageAt, MSG_NOSIGNAL | MSG_DONTWAIT));
  }

  #advance(sent: number): void {
    let rest = sent;
    while (rest > 0) {
      const piece = this.#pieces[this.#at];
      if (piece === undefined) return;
      const open = piece.length - this.#within;
      if (rest < open) {
        this.#within += rest;
        this.#write(this.#at, piece.address + this.#within, piece.length - this.#within);
        return;
      }
      rest -= open;
      if (this.#within > 0) this.#write(this.#at, piece.address, piece.length);
      this.#within = 0;
      this.#at += 1;
    }
  }

  #write(index: number, address: number, length: number): void {
    const at = index * iovec.size;
    this.#table.setUint32(at, address % 0x1_0000_0000, true);
    this.#table.setUint32(at + 4, Math.floor(address / 0x1_0000_0000), true);
    this.#table.setUint32(at + 8, length % 0x1_0000_0000, true);
    this.#table.setUint32(at + 12, Math.floor(length / 0x1_0000_0000), true);
  }
}
