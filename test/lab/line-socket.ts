// One end of a Unix socket that carries lines and that QEMU connects to: for the guest's agent
// and QEMU's monitor. QEMU connects, so we need not wait until a socket appears.

import type { Socket, UnixSocketListener } from "bun";

/** Listens on a path, accepts one peer, passes on its lines. */
export class LineSocket {
  readonly #listener: UnixSocketListener<undefined>;
  readonly #onLine: (line: string) => void;
  #peer: Socket<undefined> | undefined;
  #partial = "";
  #waiting = "";

  constructor(path: string, onLine: (line: string) => void) {
    this.#onLine = onLine;
    this.#listener = Bun.listen({
      unix: path,
      socket: {
        open: (peer) => {
          this.#peer = peer;
          this.#flush();
        },
        drain: () => this.#flush(),
        data: (_peer, bytes) => this.#take(bytes.toString()),
      },
    });
  }

  /** Sends a line, once the peer has connected. */
  send(line: string): void {
    this.#waiting += `${line}\n`;
    this.#flush();
  }

  #flush(): void {
    if (this.#peer === undefined || this.#waiting === "") return;
    const bytes = Buffer.from(this.#waiting);
    const sent = Math.max(0, this.#peer.write(bytes));
    this.#waiting = bytes.subarray(sent).toString();
  }

  #take(text: string): void {
    const lines = (this.#partial + text).split("\n");
    this.#partial = lines.pop() ?? "";
    for (const line of lines) this.#onLine(line.trimEnd());
  }

  [Symbol.dispose](): void {
    this.#peer?.end();
    this.#listener.stop(true);
  }
}
