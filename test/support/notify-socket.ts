// The socket of a service manager: what tools report by sd_notify(3).
import { must, result } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import { addressOf, libc } from "../../ffi/libc.ts";
import { MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_DGRAM } from "../../ffi/linux/socket.ts";
import type { Sockaddr } from "../../ffi/sockaddr.ts";
import { until } from "./until.ts";

const MOST_BYTES = 4096;

export class NotifySocket implements Disposable {
  readonly #socket: Fd;
  readonly #seen: string[] = [];

  constructor(at: Sockaddr) {
    const socket = libc.socket(at.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    this.#socket = new Fd(must(result(socket), "socket", at.name), at.name);
    const bound = libc.bind(this.#socket.number, addressOf(at.bytes), at.bytes.length);
    must(result(bound), "bind", at.name);
  }

  /** All datagrams so far. */
  messages(): readonly string[] {
    const bytes = new Uint8Array(new ArrayBuffer(MOST_BYTES));
    for (;;) {
      const r = result(
        libc.recv(this.#socket.number, addressOf(bytes), bytes.length, MSG_DONTWAIT),
      );
      if (r < 0) return this.#seen;
      this.#seen.push(new TextDecoder().decode(bytes.subarray(0, r)));
    }
  }

  /** Waits until a datagram has the text, and answers it. */
  async says(text: string, limitMs = 20_000): Promise<string> {
    const found = () => this.messages().find((message) => message.includes(text));
    return await until(`"${text}" on the notify socket`, limitMs, found);
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}
