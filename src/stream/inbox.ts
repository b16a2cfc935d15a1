// Receives messages of one size, many with one call of recv. An incomplete message stays until the rest arrives.
import { errno } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { receive } from "../../ffi/socket.ts";
import { PeerGone } from "../errors.ts";

/** Result of a read: bytes arrived, none are there now, or the peer closed between two messages. */
export type Filled = "some" | "nothing" | "closed";

export class Inbox {
  readonly #name: string;
  readonly #size: number;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #at: number;
  #taken = 0;
  #end = 0;
  #received = 0;
  /** The last read emptied the socket's buffer. */
  #drained = false;

  /** Room for `count` messages of `size` bytes, called `name` in error texts. */
  constructor(name: string, count: number, size: number) {
    this.#name = name;
    this.#size = size;
    this.#bytes = new Uint8Array(new ArrayBuffer(count * size));
    this.#at = addressOf(this.#bytes);
  }

  /** Received bytes of an incomplete message; 0 when there is none. */
  get part(): number {
    return this.#end - this.#taken < this.#size ? this.#end - this.#taken : 0;
  }

  /** The first byte that was not taken; undefined when there is none. */
  get first(): number | undefined {
    return this.#taken < this.#end ? this.#bytes[this.#taken] : undefined;
  }

  /** Puts bytes that were received elsewhere before the first ones. Call before `fill`. */
  begin(bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** All bytes received so far. */
  get received(): number {
    return this.#received;
  }

  /** Whether a whole message was received and not yet taken. */
  get ready(): boolean {
    return this.#end - this.#taken >= this.#size;
  }

  /** Copies the next whole message to `into`. Returns whether there was one. */
  take(into: Uint8Array<ArrayBuffer>): boolean {
    if (this.#end - this.#taken < this.#size) return false;
    for (let i = 0; i < this.#size; i++) into[i] = this.#bytes[this.#taken + i] ?? 0;
    this.#taken += this.#size;
    return true;
  }

  /**
   * Calls recv once; take all whole messages first. After a read that filled less than the buffer it returns "nothing"
   * once without a call: if more has arrived since, or the stream has ended, the loop reports the socket as readable.
   * Throws PeerGone.
   */
  fill(socket: Fd): Filled {
    if (this.#drained) {
      this.#drained = false;
      return "nothing";
    }
    if (this.#taken === this.#end) this.#taken = this.#end = 0;
    else if (this.#taken > 0) {
      this.#bytes.copyWithin(0, this.#taken, this.#end);
      this.#end -= this.#taken;
      this.#taken = 0;
    }
    const room = this.#bytes.length - this.#end;
    const r = receive(socket, this.#at + this.#end, room);
    if (r === -errno.EAGAIN || r === -errno.EINTR) return "nothing";
    // A peer that closes with bytes unread resets the connection. Between two messages this is a close like any other.
    if (r === -errno.ECONNRESET && this.#end === 0) return "closed";
    if (r < 0) throw new PeerGone("recv", socket.name, -r);
    if (r > 0) {
      this.#end += r;
      this.#received += r;
      this.#drained = r < room;
      return "some";
    }
    if (this.#end === 0) return "closed";
    const what = `${this.#end} of the ${this.#size} bytes of a ${this.#name}`;
    throw new PeerGone("recv", socket.name, `closed after ${what}`);
  }
}
