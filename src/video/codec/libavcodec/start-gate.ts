// Limits how many processes of decoders a guest can start: one takes 50 ms of the processor, and a guest that creates and destroys
// streams in a loop would take as many of them as it likes. A stream that waits keeps what it is sent, and nothing fails.
import { log } from "../../../cli/log.ts";
import type { DeviceLoop } from "../../../virtio/virtio-device.ts";

/** As many as a guest may have streams by default. */
const AT_ONCE = 64;
/** After that. They take less than half of a processor. */
const PER_SECOND = 8;

/** The gate of one guest. */
export class StartGate {
  readonly #atOnce: number;
  readonly #perSecond: number;
  readonly #nowMs: () => number;
  #left: number;
  #countedMs: number;
  /** In the order in which they came. */
  readonly #waiting = new Set<() => void>();
  #timer: Disposable | undefined;
  #told = false;

  /** Tests have a clock of their own. */
  constructor(atOnce = AT_ONCE, perSecond = PER_SECOND, nowMs = () => performance.now()) {
    this.#nowMs = nowMs;
    this.#countedMs = nowMs();
    this.#atOnce = atOnce;
    this.#perSecond = perSecond;
    this.#left = atOnce;
  }

  /** Calls `start` now, and throws what it throws; or later, when it must not throw. Disposing the result withdraws it. */
  ask(loop: DeviceLoop, start: () => void): Disposable {
    if (this.#waiting.size === 0 && this.#mayStart()) {
      this.#left -= 1;
      start();
      return { [Symbol.dispose]: () => undefined };
    }
    if (!this.#told)
      log
        .withTag("video")
        .warn(
          `the guest creates many streams: decoders are started ${this.#perSecond} a second, the others wait`,
        );
    this.#told = true;
    this.#waiting.add(start);
    this.#schedule(loop);
    return {
      [Symbol.dispose]: () => {
        this.#waiting.delete(start);
        if (this.#waiting.size === 0) this.#unschedule();
      },
    };
  }

  #mayStart(): boolean {
    const nowMs = this.#nowMs();
    const gained = ((nowMs - this.#countedMs) / 1000) * this.#perSecond;
    this.#left = Math.min(this.#atOnce, this.#left + gained);
    this.#countedMs = nowMs;
    return this.#left >= 1;
  }

  #schedule(loop: DeviceLoop): void {
    this.#timer ??= loop.after(((1 - this.#left) / this.#perSecond) * 1000, () => {
      this.#unschedule();
      const [first] = this.#waiting;
      if (first === undefined) return;
      if (this.#mayStart()) {
        this.#left -= 1;
        this.#waiting.delete(first);
        first();
      }
      if (this.#waiting.size > 0) this.#schedule(loop);
    });
  }

  #unschedule(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }
}
