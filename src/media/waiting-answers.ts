// MMAP commands that wait for the monitor. Each is answered once: when the monitor has answered, or with ENOMEM when it is late.
import { errno } from "../../ffi/errno.ts";
import type { Request } from "../virtio/virtio-device.ts";
import type { AnswerTime } from "./answer-time.ts";
import { answerHeader, mmapAnswer } from "./protocol.ts";

interface Waiting {
  readonly request: Request;
  readonly takenMs: number;
}

export class WaitingAnswers {
  readonly #time: AnswerTime;
  readonly #waiting = new Set<Waiting>();
  readonly #mapped = mmapAnswer.alloc();
  readonly #refused = answerHeader.alloc();

  constructor(time: AnswerTime) {
    this.#time = time;
    this.#refused.status = errno.ENOMEM;
  }

  get count(): number {
    return this.#waiting.size;
  }

  /** Keeps the request. The result answers it: with where the buffer of `length` bytes is mapped, or that it is not. */
  keep(request: Request, takenMs: number, length: number): (offset: number | undefined) => void {
    const one = { request, takenMs };
    this.#waiting.add(one);
    return (offset) => {
      if (!this.#waiting.delete(one) || !this.#time.mayAnswer(takenMs)) return;
      if (offset === undefined) {
        request.answer(this.#refused.$bytes);
        return;
      }
      this.#mapped.driver_addr = BigInt(offset);
      this.#mapped.len = BigInt(length);
      request.answer(this.#mapped.$bytes);
    };
  }

  /** Answers what has waited long enough with an error, and forgets what may not be answered any more. */
  tick(): void {
    for (const one of this.#waiting) {
      if (!this.#time.isDue(one.takenMs)) continue;
      this.#waiting.delete(one);
      if (this.#time.mayAnswer(one.takenMs)) one.request.answer(this.#refused.$bytes);
    }
  }

  reset(): void {
    this.#waiting.clear();
  }
}
