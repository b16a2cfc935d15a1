// The course of one connection: handlers do the work until one of them ends it, well or by throwing.
import type { Loop } from "../loop.ts";

export class Course<T> {
  readonly #end;
  #over = false;

  constructor(loop: Loop) {
    this.#end = loop.promise<T>();
  }

  /** Whether nothing is to be done any more. */
  get over(): boolean {
    return this.#over;
  }

  /** Settles when it is over. */
  get ended(): Promise<T> {
    return this.#end.promise;
  }

  /** It ends as `how`; the first end counts. */
  finish(how: T): void {
    this.#over = true;
    this.#end.resolve(how);
  }

  /** It ends by throwing `error`. */
  fail(error: unknown): void {
    this.#over = true;
    this.#end.reject(error);
  }

  /** Nobody waits for its end any more. */
  drop(): void {
    this.#over = true;
  }

  /** Does `action` now, unless it is over; what that throws ends it. */
  run(action: () => void): void {
    if (this.#over) return;
    try {
      action();
    } catch (error) {
      this.fail(error);
    }
  }

  /** `action` as a handler for the loop, under the same terms. */
  handler(action: (events: number) => void): (events?: number) => void {
    return (events = 0) => {
      if (this.#over) return;
      try {
        action(events);
      } catch (error) {
        this.fail(error);
      }
    };
  }
}

/** Waits for the end of `conversation`; when `signal` aborts it is stopped. Throws what it fails with. */
export async function untilEnded<T>(
  conversation: { readonly ended: Promise<T>; stop(): void },
  signal: AbortSignal,
): Promise<T> {
  const stop = () => conversation.stop();
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await conversation.ended;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
