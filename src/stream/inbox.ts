// Messages of one size as they come in, many with one call; a part of one waits for the rest of it.
import { errno } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { receive } from "../../ffi/socket.ts";
import { PeerGone } from "../errors.ts";

/** What a try to read came to. */
export type Filled = "some" | "nothing" | "closed";

export class Inbox {
  readonly #name: string;
  readonly #size: number;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #at: number;
  #taken = 0;
  #end = 0;
  /** The last read left nothing behind. */
  #drained = false;

  /** Messages of `size` bytes, called `name` in error texts, up to `count` at a time. */
  constructor(name: string, count: number, size: number) {
    this.#name = name;
    this.#size = size;
    this.#bytes = new Uint8Array(new ArrayBuffer(count * size));
    this.#at = addressOf(this.#bytes);
  }

  /** Bytes of a message of which more has to come. */
  get part(): number {
    return this.#end - this.#taken < this.#size ? this.#end - this.#taken : 0;
  }

  /** Whether a whole message waits. */
  get ready(): boolean {
    return this.#end - this.#taken >= this.#size;
  }

  /** Copies the next whole message to `into`; whether there was one. */
  take(into: Uint8Array<ArrayBuffer>): boolean {
    if (this.#end - this.#taken < this.#size) return false;
    for (let i = 0; i < this.#size; i++) into[i] = this.#bytes[this.#taken + i] ?? 0;
    this.#taken += this.#size;
    return true;
  }

  /**
   * Reads what is there, once; whole messages have been taken before. After a read that came back short it answers
   * "nothing" without asking the kernel, once: the loop tells of what has come since, the end of the stream too.
   * Throws PeerGone.
   */
  fill(socket: Fd): Filled {
    if (this.#drained) {
      this.#drained = false;
      return "nothing";
    }
    if (this.#taken > 0) {
      this.#bytes.copyWithin(0, this.#taken, this.#end);
      this.#end -= this.#taken;
      this.#taken = 0;
    }
    const room = this.#bytes.length - this.#end;
    const r = receive(socket, this.#at + this.#end, room);
    if (r === -errno.EAGAIN || r === -errno.EINTR) return "nothing";
    if (r < 0) throw new PeerGone("recv", socket.name, -r);
    if (r > 0) {
      this.#end += r;
      this.#drained = r < room;
      return "some";
    }
    if (this.#end === 0) return "closed";
    const what = `${this.#end} of the ${this.#size} bytes of a ${this.#name}`;
    throw new PeerGone("recv", socket.name, `closed after ${what}`);
  }
}
