// One connection while it lasts. Its handlers work until one of them ends it, by calling `finish` or by throwing;
// what it waits for on the loop is disposed with it.
import type { Fd } from "../../ffi/fd.ts";
import { log } from "../cli/log.ts";
import { ProtocolError } from "../errors.ts";
import type { Source, SourceWatch } from "../frame/source.ts";
import type { Taken } from "../frame/stream-output.ts";
import type { Deferred, Loop, Watch } from "../loop.ts";

/** How often `limitStalls` looks. */
const STALL_CHECK_MS = 1000;
/** A standstill of this length is logged. */
const NOTICE_MS = 3000;

/** How sending ended without error. */
export type SendEnd = "done" | "stopped";

/** How receiving ended without error: the sender closed between two messages, enough frames came, or a stop was requested. */
export type ReceiveEnd = "closed" | "enough" | "stopped";

/** What the code of one connection works with, in both flows and on both sides. */
export interface ConnectionRun {
  readonly loop: Loop;
  readonly socket: Fd;
  /** Aborts when the connection has to stop. */
  readonly signal: AbortSignal;
}

/** Callbacks of a target that could not take a frame at once: because of a full pipe, or because a device reads the frame. */
export interface Waiting {
  /** The frame that waited is taken, or held: the next one may come. */
  readonly ready: (taken: Taken) => void;
  readonly failed: (error: unknown) => void;
  /** The frame in buffer `index`, which was held, is free again. */
  readonly returned: (index: number) => void;
}

/** How long a peer may pause in the middle of a message, and how to find out. */
export interface StallCheck {
  /** 0: for ever. */
  readonly stallMs: number;
  /** Whether the peer has to act now: it sent a part of a message, or has a part of ours to take. */
  readonly waiting: () => boolean;
  /**
   * Bytes of the whole connection. What is left of the current message would not do: in the next message the same number
   * may be left when the check looks again.
   */
  readonly bytes: () => number;
  /** The error's text. */
  readonly text: (seconds: number) => string;
  /** A line for the user after NOTICE_MS, once in each standstill. */
  readonly notice?: () => string;
}

export class Connection<End> implements Disposable {
  readonly #loop: Loop;
  readonly #end: PromiseWithResolvers<End>;
  readonly #owned = new DisposableStack();
  #over = false;

  constructor(loop: Loop) {
    this.#loop = loop;
    this.#end = loop.promise<End>();
  }

  /** Whether the connection has ended. Its handlers are not called any more. */
  get over(): boolean {
    return this.#over;
  }

  /** Ends the connection with result `how`; the first end counts. */
  finish(how: End): void {
    this.#over = true;
    this.#end.resolve(how);
  }

  /** Ends the connection: `untilEnded` throws `error`. The first end counts. */
  fail(error: unknown): void {
    this.#over = true;
    this.#end.reject(error);
  }

  /** Calls `action` now, unless the connection has ended. An error thrown by it ends the connection. */
  run(action: () => void): void {
    if (this.#over) return;
    try {
      action();
    } catch (error) {
      this.fail(error);
    }
  }

  /** `Loop.watch`; an error thrown by `handler` ends the connection. */
  watch(fd: number, events: number, handler: (events: number) => void): Watch {
    return this.#owned.use(this.#loop.watch(fd, events, this.#guarded(handler)));
  }

  /** Watches a source, at first for nothing. An error thrown by `handler` ends the connection. */
  watchSource(source: Source, handler: (events: number) => void): SourceWatch {
    if (source.watch === undefined) return this.watch(source.fd, 0, handler);
    return this.#owned.use(source.watch(this.#guarded(handler)));
  }

  #guarded(handler: (events: number) => void): (events: number) => void {
    return (ready) => {
      if (this.#over) return;
      try {
        handler(ready);
      } catch (error) {
        this.fail(error);
      }
    };
  }

  /** `Loop.every`; an error thrown by `handler` ends the connection. */
  every(periodMs: number, handler: () => void): void {
    this.#owned.use(this.#loop.every(periodMs, () => this.run(handler)));
  }

  /** `Loop.after`; an error thrown by `handler` ends the connection. */
  after(delayMs: number, handler: () => void): void {
    this.#owned.use(this.#loop.after(delayMs, () => this.run(handler)));
  }

  /** `Loop.deferred`; an error thrown by `handler` ends the connection. */
  deferred(handler: () => void): Deferred {
    return this.#owned.use(this.#loop.deferred(() => this.run(handler)));
  }

  /** Callbacks for a target; `resume` is called when it is ready again, `returned` for each frame that it held. */
  waiting(resume: (taken: Taken) => void, returned: (index: number) => void): Waiting {
    return {
      ready: (taken) => this.run(() => resume(taken)),
      failed: (error) => this.fail(error),
      returned: (index) => {
        if (this.#over) return;
        try {
          returned(index);
        } catch (error) {
          this.fail(error);
        }
      },
    };
  }

  /** Ends the connection with ProtocolError when the peer stops in the middle of a message for `stallMs`. */
  limitStalls({ stallMs, waiting, bytes, text, notice }: StallCheck): void {
    if (stallMs === 0 && notice === undefined) return;
    let last = -1;
    let noticed = false;
    let lastMs = performance.now();
    this.every(STALL_CHECK_MS, () => {
      const now = bytes();
      const nowMs = performance.now();
      if (!waiting() || now !== last) {
        last = now;
        lastMs = nowMs;
        noticed = false;
        return;
      }
      if (stallMs > 0 && nowMs - lastMs >= stallMs) throw new ProtocolError(text(stallMs / 1000));
      if (notice === undefined || noticed || nowMs - lastMs < NOTICE_MS) return;
      noticed = true;
      log.warn(notice());
    });
  }

  /** Waits for the end; calls `stop` when `signal` aborts. Throws what ended the connection. */
  async untilEnded(signal: AbortSignal, stop: () => void): Promise<End> {
    const onAbort = () => this.run(stop);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      return await this.#end.promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  [Symbol.dispose](): void {
    this.#over = true;
    this.#owned.dispose();
  }
}
