// Receives into two pieces of memory with one call. The list of pieces is made once. recvmsg(2)
import { result } from "./errno.ts";
import type { Fd } from "./fd.ts";
import { addressOf, libc } from "./libc.ts";
import { iovec, MSG_DONTWAIT, msghdr } from "./linux/socket.ts";

export class Scatter {
  readonly #first: ReturnType<typeof iovec.over>;
  readonly #second: ReturnType<typeof iovec.over>;
  readonly #message = msghdr.alloc();
  readonly #messageAt = this.#message.$address;

  constructor() {
    const table = new Uint8Array(new ArrayBuffer(2 * iovec.size));
    this.#first = iovec.over(table);
    this.#second = iovec.over(table, iovec.size);
    this.#message.msg_iov = addressOf(table);
    this.#message.msg_iovlen = 2;
  }

  /**
   * Receives up to `length` bytes to the address `at`; what comes after them goes to `nextAt`, up to `nextLength` bytes.
   * The caller keeps both alive. Answers the count (0: the peer closed) or a negative errno.
   */
  receive(socket: Fd, at: number, length: number, nextAt: number, nextLength: number): number {
    this.#first.iov_base = at;
    this.#first.iov_len = length;
    this.#second.iov_base = nextAt;
    this.#second.iov_len = nextLength;
    return result(libc.recvmsg(socket.number, this.#messageAt, MSG_DONTWAIT));
  }
}
