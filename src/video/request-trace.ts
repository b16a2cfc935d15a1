// The trace of requests with --log-level debug, for bug reports: running number, number and name of the command, stream, code of
// the answer, microseconds until the answer. It exists only at that level.
import { log } from "../cli/log.ts";
import type { Request } from "../virtio/virtio-device.ts";
import type { Command } from "./command.ts";
import { BUFFER_EOS, BUFFER_ERR, INPUT, OUTPUT, queuedResponse, response } from "./structs.ts";

const HEADER_BYTES = 8;
const queues: Readonly<Record<number, string>> = { [INPUT]: " INPUT", [OUTPUT]: " OUTPUT" };

/** What requests have in common that may be in their bodies. */
interface Body {
  readonly queue_type?: number;
  readonly resource_id?: number;
}

export class RequestTrace {
  #number = 0;
  /** Requests that were not answered yet. */
  #held = 0;

  /** A request that is answered through the trace. `body` is its fixed part, if the command is known. */
  follow(
    request: Request,
    of: { readonly type: number; readonly stream: number; readonly row: Command | undefined },
    body: unknown,
  ): TracedRequest {
    this.#number += 1;
    this.#held += 1;
    const { queue_type, resource_id } = (body ?? {}) as Body;
    const queue = queue_type === undefined ? "" : (queues[queue_type] ?? ` queue ${queue_type}`);
    const resource = resource_id === undefined ? "" : ` resource ${resource_id}`;
    const name = of.row?.name ?? "unknown";
    const text = `#${this.#number} 0x${of.type.toString(16).padStart(4, "0")} ${name} stream ${of.stream}${queue}${resource}`;
    return new TracedRequest(request, text, () => {
      this.#held -= 1;
    });
  }

  /** The driver was reset: what it still waits for is never answered. */
  reset(): void {
    if (this.#held > 0) log.withTag("trace").debug(`reset: ${this.#held} requests are dropped`);
    this.#held = 0;
  }
}

export class TracedRequest implements Request {
  readonly #request: Request;
  readonly #text: string;
  readonly #answered: () => void;
  readonly #fromMs = performance.now();
  #done = false;

  constructor(request: Request, text: string, answered: () => void) {
    this.#request = request;
    this.#text = text;
    this.#answered = answered;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#request.bytes;
  }
  get room(): number {
    return this.#request.room;
  }

  answer(bytes: Uint8Array): void {
    if (!this.#done) {
      this.#done = true;
      this.#answered();
      const us = Math.round((performance.now() - this.#fromMs) * 1000);
      log.withTag("trace").debug(`${this.#text}: ${described(bytes)} after ${us} us`);
    }
    this.#request.answer(bytes);
  }

  /** Call this after the command has run. */
  ran(): void {
    if (!this.#done) log.withTag("trace").debug(`${this.#text}: held`);
  }
}

/** The code of an answer, and the flags and bytes of a returned buffer. */
function described(bytes: Uint8Array): string {
  if (bytes.length < HEADER_BYTES) return "empty";
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const code = view.getUint32(0, true);
  const text = `0x${code.toString(16).padStart(4, "0")}`;
  if (code !== response.OK_RESOURCE_QUEUE || bytes.length < queuedResponse.size) return text;
  const flags = view.getUint32(queuedResponse.fields.flags.offset, true);
  const size = view.getUint32(queuedResponse.fields.size.offset, true);
  const err = (flags & BUFFER_ERR) !== 0 ? " ERR" : "";
  return `${text}${err}${(flags & BUFFER_EOS) !== 0 ? " EOS" : ""} ${size} bytes`;
}
