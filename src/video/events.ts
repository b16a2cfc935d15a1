// The event queue: buffers that the driver posted, and events that wait for one. At most one event of a type waits per stream.
import { log, logsDebug } from "../cli/log.ts";
import type { Request } from "../virtio/virtio-device.ts";
import { event } from "./structs.ts";

interface Pending {
  readonly type: number;
  readonly stream: number;
  /** Called when the event is sent. */
  readonly sent: (() => void) | undefined;
}

const nothing = new Uint8Array(new ArrayBuffer(0));

export class Events {
  readonly #posted: Request[] = [];
  readonly #pending: Pending[] = [];
  readonly #event = event.alloc();

  /** Takes a buffer of the driver; one that is too small for an event is returned empty. */
  post(request: Request): void {
    if (request.room < event.size) request.answer(nothing);
    else this.#posted.push(request);
    this.#deliver();
  }

  /** Sends an event as soon as there is a buffer; `sent` is called then. */
  send(type: number, stream: number, sent?: () => void): void {
    if (this.#pending.some((p) => p.type === type && p.stream === stream)) return;
    this.#pending.push({ type, stream, sent });
    this.#deliver();
  }

  /** Drops the events of a stream that was destroyed: drivers lose the buffer of an event of an unknown stream. */
  drop(stream: number): void {
    for (let i = this.#pending.length - 1; i >= 0; i--) {
      if (this.#pending[i]?.stream === stream) this.#pending.splice(i, 1);
    }
  }

  /** Drops all buffers and events. */
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
      if (logsDebug()) {
        const type = `0x${next.type.toString(16).padStart(4, "0")}`;
        log.withTag("trace").debug(`event ${type} stream ${next.stream}`);
      }
      this.#posted.shift()?.answer(this.#event.$bytes);
      next.sent?.();
    }
  }
}
