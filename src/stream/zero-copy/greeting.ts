// The zero-copy sender's first messages: the hello, and a handle per buffer, with its descriptor if it has one.

import { sendWithDescriptors } from "../../../ffi/descriptors.ts";
import { errno } from "../../../ffi/errno.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { addressOf } from "../../../ffi/libc.ts";
import { send } from "../../../ffi/socket.ts";
import { PeerGone } from "../../errors.ts";
import type { SharedSource } from "../../frame/sharing.ts";
import { makeHello } from "../hello.ts";
import { handleBytes } from "./messages.ts";

interface Part {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly descriptor: number | undefined;
}

export class Greeting {
  readonly #parts: readonly Part[];
  #part = 0;
  #sent = 0;
  #total = 0;

  /** All bytes sent so far. */
  get sent(): number {
    return this.#total;
  }

  constructor({ source: { picture, frames }, exporter }: SharedSource) {
    const hello = { bytes: makeHello(picture, frames.length).$bytes, descriptor: undefined };
    const handles = exporter.handles.map((handle, i) => ({
      bytes: handleBytes(handle),
      descriptor: exporter.descriptor(i),
    }));
    this.#parts = [hello, ...handles];
  }

  /** Sends as much as the socket takes. Returns whether all was sent. Throws PeerGone. */
  flush(socket: Fd): boolean {
    for (;;) {
      const part = this.#parts[this.#part];
      if (part === undefined) return true;
      const r = this.#send(socket, part);
      if (r === -errno.EAGAIN) return false;
      if (r === -errno.EINTR) continue;
      if (r < 0) throw new PeerGone("send", socket.name, -r);
      this.#sent += r;
      this.#total += r;
      if (this.#sent < part.bytes.length) continue;
      this.#part += 1;
      this.#sent = 0;
    }
  }

  #send(socket: Fd, { bytes, descriptor }: Part): number {
    const at = addressOf(bytes) + this.#sent;
    const left = bytes.length - this.#sent;
    if (descriptor === undefined || this.#sent > 0) return send(socket, at, left);
    return sendWithDescriptors(socket, at, left, [descriptor]);
  }
}
