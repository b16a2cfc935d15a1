// The event queue: buffers that the driver posted, and events that wait for one. DQBUF events are never dropped; of each
// subscription at most one event waits. An ERROR event is never sent: the Linux driver frees the session in use at it.
import * as v from "../../ffi/linux/videodev2.ts";
import type { Request } from "../virtio/virtio-device.ts";
import type { CaptureBuffer } from "./capture-buffer.ts";
import {
  DQBUF_EVENT_BYTES,
  EVENT_DQBUF,
  EVENT_EVENT,
  EVENT_EVENT_BYTES,
  eventHeader,
} from "./protocol.ts";
import type { Settling } from "./settling.ts";
import type { Subscription } from "./subscriptions.ts";

const nothing = new Uint8Array(new ArrayBuffer(0));

export class Events {
  readonly #posted: Request[] = [];
  /** At most as many as there are buffers and subscriptions. */
  readonly #waiting: (CaptureBuffer | Subscription)[] = [];
  readonly #bytes = new Uint8Array(new ArrayBuffer(DQBUF_EVENT_BYTES));
  readonly #header = eventHeader.over(this.#bytes);
  readonly #buffer = v.v4l2Buffer.over(this.#bytes, eventHeader.size);
  readonly #event = v.v4l2Event.over(this.#bytes, eventHeader.size);
  readonly #eventBytes = this.#bytes.subarray(0, EVENT_EVENT_BYTES);
  readonly #settling: Settling;

  constructor(settling: Settling) {
    this.#settling = settling;
  }

  /** Events that wait for a buffer of the driver. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Takes a buffer of the driver; one that is too small for the longest event is returned empty. */
  post(request: Request): void {
    if (request.room < DQBUF_EVENT_BYTES) {
      request.answer(nothing);
      return;
    }
    this.#posted.push(request);
    this.#settling.posted();
    this.#deliver();
  }

  /** Sends what has happened as soon as the driver has a buffer for it. */
  send(of: CaptureBuffer | Subscription): void {
    this.#waiting.push(of);
    this.#deliver();
  }

  /** Drops the events of a session that still wait: all, or only those of its buffers. */
  drop(session: number, which: "all" | "buffers"): void {
    for (let i = this.#waiting.length - 1; i >= 0; i--) {
      const one = this.#waiting[i];
      if (one?.session !== session) continue;
      if (which === "all" || "state" in one) this.#waiting.splice(i, 1);
    }
  }

  /** Drops one subscription's event. */
  forget(subscription: Subscription): void {
    const at = this.#waiting.indexOf(subscription);
    if (at >= 0) this.#waiting.splice(at, 1);
  }

  reset(): void {
    this.#posted.length = 0;
    this.#waiting.length = 0;
  }

  #deliver(): void {
    while (this.#posted.length > 0) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#bytes.fill(0);
      this.#header.session_id = next.session;
      const bytes = "state" in next ? this.#encodeBuffer(next) : this.#encodeEvent(next);
      this.#settling.used(); // first: the driver may post it again at once
      this.#posted.shift()?.answer(bytes);
    }
  }

  #encodeBuffer(buffer: CaptureBuffer): Uint8Array {
    buffer.state = "free";
    this.#header.event = EVENT_DQBUF;
    buffer.describe(this.#buffer);
    this.#buffer.bytesused = buffer.bytesused;
    this.#buffer["timestamp.tv_sec"] = buffer.tsSec;
    this.#buffer["timestamp.tv_usec"] = buffer.tsUsec;
    this.#buffer.sequence = buffer.sequence;
    return this.#bytes;
  }

  #encodeEvent(subscription: Subscription): Uint8Array {
    this.#header.event = EVENT_EVENT;
    subscription.encode(this.#event);
    return this.#eventBytes;
  }
}
