// Sends small messages; all that wait are sent with one call.
import { errno } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { send } from "../../ffi/socket.ts";
import { PeerGone } from "../errors.ts";

export class Outbox {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #at: number;
  #sent = 0;
  #end = 0;
  #total = 0;

  /** Room for `count` messages of `size` bytes. */
  constructor(count: number, size: number) {
    this.#bytes = new Uint8Array(new ArrayBuffer(count * size));
    this.#at = addressOf(this.#bytes);
  }

  /** All bytes sent so far. */
  get sent(): number {
    return this.#total;
  }

  get empty(): boolean {
    return this.#sent === this.#end;
  }

  /** Whether there is room for `bytes` more bytes. */
  takes(bytes: number): boolean {
    return this.#end + bytes <= this.#bytes.length;
  }

  /** Appends a message. Throws RangeError when there is no room for it. */
  push(message: Uint8Array<ArrayBuffer>): void {
    if (!this.takes(message.length)) throw new RangeError(`${message.length} bytes have no room`);
    for (let i = 0; i < message.length; i++) this.#bytes[this.#end + i] = message[i] ?? 0;
    this.#end += message.length;
  }

  /** Forgets the waiting messages. */
  clear(): void {
    this.#sent = 0;
    this.#end = 0;
  }

  /** Sends the waiting messages. Returns whether all were sent. Throws PeerGone. */
  flush(socket: Fd): boolean {
    while (this.#sent < this.#end) {
      const r = send(socket, this.#at + this.#sent, this.#end - this.#sent);
      if (r === -errno.EAGAIN) {
        this.#bytes.copyWithin(0, this.#sent, this.#end); // make room at the end
        this.#end -= this.#sent;
        this.#sent = 0;
        return false;
      }
      if (r === -errno.EINTR) continue;
      if (r < 0) throw new PeerGone("send", socket.name, -r);
      this.#sent += r;
      this.#total += r;
    }
    this.clear();
    return true;
  }
}
