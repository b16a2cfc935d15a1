// The event queue: buffers the driver posts, events that wait for one. An event of a kind waits once per stream.
import type { Request } from "../virtio/virtio-device.ts";
import { event } from "./structs.ts";

interface Pending {
  readonly type: number;
  readonly stream: number;
  /** Called when the driver gets it. */
  readonly sent: (() => void) | undefined;
}

const nothing = new Uint8Array(new ArrayBuffer(0));

export class Events {
  readonly #posted: Request[] = [];
  readonly #pending: Pending[] = [];
  readonly #event = event.alloc();

  /** A buffer of the driver's; one that is too small for an event goes back empty. */
  post(request: Request): void {
    if (request.room < event.size) request.answer(nothing);
    else this.#posted.push(request);
    this.#deliver();
  }

  /** Tells the driver, as soon as it has a buffer for it. */
  send(type: number, stream: number, sent?: () => void): void {
    if (this.#pending.some((p) => p.type === type && p.stream === stream)) return;
    this.#pending.push({ type, stream, sent });
    this.#deliver();
  }

  /** Forgets what a stream that is gone wanted to say: drivers lose the buffer of an unknown stream's event. */
  drop(stream: number): void {
    for (let i = this.#pending.length - 1; i >= 0; i--) {
      if (this.#pending[i]?.stream === stream) this.#pending.splice(i, 1);
    }
  }

  /** The driver is gone, with its buffers. */
  reset(): void {
    this.#posted.length = 0;
    this.#pending.length = 0;
  }

  #deliver(): void {
    while (this.#posted.length > 0) {
      const next = this.#pending.shift();
      if (next === undefined) return;
      this.#event.event_type = next.type;
      this.#event.stream_id = next.stream;
      this.#posted.shift()?.answer(this.#event.$bytes);
      next.sent?.();
    }
  }
}
