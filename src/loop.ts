// The one event loop: descriptors, timers, stop. Handlers are plain functions that run to the end, so a frame
// costs no promise. Why not the runtime's own loop: docs/decisions/0001-own-loop.md.
import { Epoll } from "../ffi/epoll.ts";

/** A signal wakes the wait only if the kernel hands it to this thread; otherwise it is seen this much later. */
const LONGEST_WAIT_MS = 100;
/** While there is work the runtime gets a turn this often, for signals and its own business. */
const YIELD_EVERY_MS = 50;

/** Something that can be taken back: a watched descriptor, a timer. */
export interface Watch extends Disposable {
  /** Waits for other events from now on; 0 pauses the watch (errors and hang-ups included). */
  setEvents(events: number): void;
}

interface Watched {
  readonly fd: number;
  readonly handler: (events: number) => void;
  events: number;
}

/** Something to be done at the end of a turn, once, however often it was asked for. */
export interface Deferred extends Disposable {
  /** Asks for it: costs nothing but a flag. */
  ask(): void;
}

interface Timer {
  readonly handler: () => void;
  readonly periodMs: number;
  dueMs: number;
}

export class Loop implements Disposable {
  readonly #epoll = new Epoll();
  readonly #watched = new Map<number, Watched>();
  readonly #timers = new Set<Timer>();
  readonly #deferred = new Set<{ asked: boolean; readonly handler: () => void }>();
  #nextKey = 1;
  #running = false;
  /** Somebody waits for a promise that a handler settled: the next turn must not sleep first. */
  #settled = true;

  /** Calls `handler` whenever `fd` has one of `events`. The descriptor stays the caller's. */
  watch(fd: number, events: number, handler: (events: number) => void): Watch {
    const key = this.#nextKey++;
    const entry: Watched = { fd, handler, events: 0 };
    this.#watched.set(key, entry);
    const setEvents = (wanted: number) => {
      if (wanted === entry.events || !this.#watched.has(key)) return;
      if (wanted === 0) this.#epoll.remove(fd);
      else if (entry.events === 0) this.#epoll.add(fd, wanted, key);
      else this.#epoll.modify(fd, wanted, key);
      entry.events = wanted;
    };
    try {
      setEvents(events);
    } catch (error) {
      this.#watched.delete(key); // a descriptor nobody can wait for leaves nothing behind
      throw error;
    }
    return {
      setEvents,
      [Symbol.dispose]: () => {
        setEvents(0);
        this.#watched.delete(key);
      },
    };
  }

  /** Calls `handler` every `periodMs` from now on. */
  every(periodMs: number, handler: () => void): Disposable {
    return this.#schedule(periodMs, periodMs, handler);
  }

  /** Calls `handler` once, in `delayMs`. */
  after(delayMs: number, handler: () => void): Disposable {
    return this.#schedule(delayMs, 0, handler);
  }

  #schedule(delayMs: number, periodMs: number, handler: () => void): Disposable {
    const timer = { handler, periodMs, dueMs: performance.now() + delayMs };
    this.#timers.add(timer);
    return { [Symbol.dispose]: () => this.#timers.delete(timer) };
  }

  /** `handler` runs at the end of each turn in which somebody asked for it, after all descriptors. */
  deferred(handler: () => void): Deferred {
    const entry = { asked: false, handler };
    this.#deferred.add(entry);
    return {
      ask: () => {
        entry.asked = true;
      },
      [Symbol.dispose]: () => this.#deferred.delete(entry),
    };
  }

  /** A promise for what handlers bring about; whoever awaits it goes on at the end of the turn that settles it. */
  promise<T>(): PromiseWithResolvers<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    promise.finally(() => undefined).catch(() => undefined); // may be settled before anybody awaits it
    return {
      promise,
      resolve: (value) => {
        this.#settled = true;
        resolve(value);
      },
      reject: (reason) => {
        this.#settled = true;
        reject(reason);
      },
    };
  }

  /** Resolves in `delayMs`, or as soon as `signal` aborts. */
  sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = this.promise<void>();
    const timer = this.after(delayMs, resolve);
    const done = () => resolve();
    signal.addEventListener("abort", done, { once: true });
    if (signal.aborted) done();
    return promise.finally(() => {
      timer[Symbol.dispose]();
      signal.removeEventListener("abort", done);
    });
  }

  /** Waits and calls handlers until `task` is settled; its result. What a handler throws is thrown here. */
  async run<T>(task: Promise<T>): Promise<T> {
    if (this.#running) throw new Error("the loop is running already");
    this.#running = true;
    this.#settled = true; // the task itself may wait for something settled already
    let over = false;
    const end = () => {
      over = true;
    };
    task.then(end, end);
    let yieldedMs = 0;
    try {
      while (!over) {
        const count = this.#epoll.wait(this.#waitMs());
        for (let i = 0; i < count; i++) {
          // A handler may have dropped a later one of this batch: then it is no longer in the map.
          this.#watched.get(this.#epoll.key(i))?.handler(this.#epoll.events(i));
        }
        const nowMs = performance.now();
        this.#fire(nowMs);
        for (const entry of this.#deferred) {
          if (!entry.asked) continue;
          entry.asked = false;
          entry.handler();
        }
        if (count === 0 || this.#settled || nowMs - yieldedMs > YIELD_EVERY_MS) {
          this.#settled = false;
          await new Promise(setImmediate);
          yieldedMs = performance.now();
        }
      }
      return await task;
    } finally {
      this.#running = false;
    }
  }

  #waitMs(): number {
    if (this.#settled) return 0;
    if (this.#timers.size === 0) return LONGEST_WAIT_MS;
    let dueMs = Number.POSITIVE_INFINITY;
    for (const timer of this.#timers) dueMs = Math.min(dueMs, timer.dueMs);
    return Math.max(0, Math.min(LONGEST_WAIT_MS, Math.ceil(dueMs - performance.now())));
  }

  #fire(nowMs: number): void {
    for (const timer of this.#timers) {
      if (timer.dueMs > nowMs) continue;
      if (timer.periodMs > 0) timer.dueMs = Math.max(timer.dueMs + timer.periodMs, nowMs);
      else this.#timers.delete(timer);
      timer.handler();
    }
  }

  [Symbol.dispose](): void {
    this.#epoll[Symbol.dispose]();
  }
}
