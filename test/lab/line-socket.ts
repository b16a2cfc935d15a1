// One end of a Unix socket that QEMU connects to and that is spoken to in lines: the guest's agent
// and QEMU's own monitor. We listen and QEMU connects, so nobody has to poll for a socket to appear.

import type { Socket, UnixSocketListener } from "bun";

/** Listens on a path, takes one peer, hands over its lines. */
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

  /** Sends a line, as soon as the peer is there. */
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
