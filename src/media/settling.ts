// Answers that wait until the guest has processed its events: those of STREAMOFF, REQBUFS and CLOSE. The Linux driver does not check
// whether a DQBUF event belongs to a stream that has ended. It adds the buffer to a list all the same, and a second time at the
// buffer's next event, which corrupts the guest's memory. It posts an event buffer again only when it has processed the event.
import type { Request } from "../virtio/virtio-device.ts";
import type { AnswerTime } from "./answer-time.ts";

/** A driver that does not post its buffers again gets its answer at this tick: after 250 to 500 ms. */
const LAST_TICK = 2;

interface Held {
  readonly request: Request;
  readonly takenMs: number;
  readonly answer: Uint8Array;
  /** The answer is given when so many event buffers have come back. */
  readonly returned: number;
  ticks: number;
}

export class Settling {
  /** The machine is stopped: its driver cannot process anything. */
  paused = false;
  readonly #time: AnswerTime;
  /** Event buffers that were used, and those of them that were posted again. The driver keeps their order. */
  #used = 0;
  #returned = 0;
  #held: Held[] = [];

  constructor(time: AnswerTime) {
    this.#time = time;
  }

  /** Answers that wait. */
  get waiting(): number {
    return this.#held.length;
  }

  /** An event buffer is about to be used. */
  used(): void {
    this.#used += 1;
  }

  /** The driver has posted an event buffer. */
  posted(): void {
    if (this.#returned === this.#used) return; // one more than it had
    this.#returned += 1;
    while (this.#held.length > 0 && this.#returned >= (this.#held[0] as Held).returned)
      this.#release();
  }

  /** Answers a command when the events that were sent before it are processed. Copies `answer` when it has to wait. */
  answer(request: Request, takenMs: number, answer: Uint8Array): void {
    if (!this.#time.mayAnswer(takenMs)) return;
    if (this.#returned === this.#used) {
      request.answer(answer);
      return;
    }
    const returned = this.#used;
    this.#held.push({ request, takenMs, answer: answer.slice(), returned, ticks: 0 });
  }

  #release(): void {
    const held = this.#held.shift();
    if (held !== undefined && this.#time.mayAnswer(held.takenMs)) held.request.answer(held.answer);
  }

  /** Call every TICK_MS. Answers what has waited long enough. */
  tick(): void {
    if (this.paused) return;
    for (const held of this.#held) held.ticks += 1;
    while ((this.#held[0]?.ticks ?? 0) >= LAST_TICK) this.#release();
  }

  /** The driver has ended. */
  reset(): void {
    this.paused = false;
    this.#used = 0;
    this.#returned = 0;
    this.#held = [];
  }
}
