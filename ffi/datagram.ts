// Datagrams to the Unix socket of another program. Sending never waits.
import { must, result } from "./errno.ts";
import { Fd } from "./fd.ts";
import { addressOf, libc } from "./libc.ts";
import * as k from "./linux/socket.ts";
import type { Sockaddr } from "./sockaddr.ts";

export class DatagramSender implements Disposable {
  readonly #socket: Fd;
  readonly #to: Sockaddr;

  /** Nothing is sent yet: the other program may come later. Throws SysError. */
  constructor(to: Sockaddr) {
    const type = k.SOCK_DGRAM | k.SOCK_NONBLOCK | k.SOCK_CLOEXEC;
    this.#socket = new Fd(
      must(result(libc.socket(to.family, type, 0)), "socket", to.name),
      to.name,
    );
    this.#to = to;
  }

  /** Sends one datagram. Answers its size or a negative errno: EAGAIN when the receiver's queue is full. */
  send(datagram: Uint8Array<ArrayBuffer>): number {
    const { bytes } = this.#to;
    const flags = k.MSG_DONTWAIT | k.MSG_NOSIGNAL;
    const { number } = this.#socket;
    const at = addressOf(datagram);
    return result(libc.sendto(number, at, datagram.length, flags, addressOf(bytes), bytes.length));
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}
