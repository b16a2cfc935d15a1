// /healthz: whether the loop of the tool runs. The loop counts up four times a second.
import { control } from "./messages.ts";
import type { Reply } from "./server.ts";

/** A device call or a window may block the loop for a while. */
const HUNG_MS = 10_000;

/** Whether the loop of the tool runs. */
export class Heartbeat {
  readonly #cells: Int32Array;
  #last = 0;
  #changedMs = performance.now();

  constructor(cells: Int32Array) {
    this.#cells = cells;
  }

  /** Call it now and then: changes are seen only here. */
  look(): void {
    const beats = Atomics.load(this.#cells, control.beats);
    if (beats !== this.#last) this.#changedMs = performance.now();
    this.#last = beats;
  }

  /** Milliseconds since the loop was seen to run. */
  get silentMs(): number {
    this.look();
    return performance.now() - this.#changedMs;
  }
}

/** The answer of /healthz. */
export function health(silentMs: number): Reply {
  const type = "text/plain; charset=utf-8";
  if (silentMs < HUNG_MS) return { type, body: "ok\n" };
  const seconds = Math.floor(silentMs / 1000);
  return { status: 503, type, body: `the tool has not run for ${seconds} s\n` };
}
