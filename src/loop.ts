// The one event loop: descriptors, timers, and work at the end of a turn. Handlers are plain functions, so a frame
// costs no promise. Why not the runtime's own loop: docs/decisions/0001-own-loop.md.
import { EPOLLIN, Epoll } from "../ffi/epoll.ts";
import { Timers } from "./timers.ts";

/**
 * Longest wait in ms while nothing ends it for the runtime. A signal ends the wait only if the kernel delivers it to this thread;
 * otherwise it is handled after the wait.
 */
const LONGEST_WAIT_MS = 100;
/** So many waits in which nothing happens have that limit, too: the runtime finishes what the last event has left, and collects garbage. */
const SETTLING_WAITS = 3;
/** A shorter wait without an event is one that ended for a timer, as they are between the frames of a stream. */
const QUIET_MS = 50;
/** The runtime ends waits more often than this in a second only if it does not take what it is woken for. */
const MOST_WAKE_UPS = 5000;
/** epoll_wait takes an int. */
const MOST_MS = 0x7fff_ffff;
/** How long a task may clean up after a handler threw. A task that takes longer is left behind. */
const LONGEST_CLEANUP_MS = 2000;
/** While there is work, the runtime runs its own tasks (signals, promises) this often. */
const YIELD_EVERY_MS = 50;
/** And so often where it is woken for them. What is left are its own timers: one collects garbage each time, even if there is none. */
const YIELD_WOKEN_MS = 10_000;

/** A watched descriptor; disposing it ends the watch. */
export interface Watch extends Disposable {
  /** Changes the events to wait for; 0 suspends the watch, also for errors and hang-ups. */
  setEvents(events: number): void;
}

interface Watched {
  readonly fd: number;
  readonly handler: (events: number) => void;
  events: number;
}

/** What ends waits for the runtime. */
export interface RuntimeWakes {
  /** Readable while the runtime has something to do. */
  readonly fd: number;
  /** Whether a timer of the runtime is set now. No descriptor shows that, so waits keep their limit meanwhile. */
  timers(): boolean;
  /** Called when the descriptor ends waits without end, and is not watched any more. */
  gaveUp(): void;
}

/** A handler that runs once at the end of each turn in which `ask` was called. */
export interface Deferred extends Disposable {
  /** Requests a run in this turn, or in the next if this one runs deferred handlers already. Only sets a flag. */
  ask(): void;
}

export class Loop implements Disposable {
  readonly #epoll = new Epoll();
  readonly #watched = new Map<number, Watched>();
  readonly #timers = new Timers();
  readonly #deferred = new Set<{ asked: boolean; readonly handler: () => void }>();
  /** Rejects the promises that a task may be waiting for. */
  readonly #pending = new Set<(reason: unknown) => void>();
  /** A deferred handler was asked for, so the next turn does not wait. */
  #asked = false;
  #nextKey = 1;
  #running = false;
  /** Ends waits for the runtime; undefined: they have a limit instead. */
  #runtime: RuntimeWakes | undefined;
  /** How often `limitWaits` was called and not disposed. */
  #limits = 0;
  /** The time at the end of the last turn. */
  #nowMs = 0;
  /** Nothing happened in the last wait. */
  #quiet = false;
  /** Such waits in a row. */
  #quietWaits = 0;
  /** A promise was settled, so the runtime has to run before the next wait. */
  #settled = true;
  /** What a handler of this run threw. No handler is called after that. */
  #failure: { readonly error: unknown } | undefined;

  /** Whether a handler has thrown: the task is being ended, and waiting is not possible any more. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** From now on the runtime ends waits when it has something to do, so that they need no limit. Throws SysError. */
  endWaitsBy(runtime: RuntimeWakes): void {
    let sinceMs = performance.now();
    let times = 0;
    const watch = this.watch(runtime.fd, EPOLLIN, () => {
      this.#settled = true;
      times += 1;
      const nowMs = performance.now();
      if (nowMs - sinceMs > 1000) {
        sinceMs = nowMs;
        times = 0;
      } else if (times > MOST_WAKE_UPS) {
        watch[Symbol.dispose]();
        this.#runtime = undefined;
        runtime.gaveUp();
      }
    });
    this.#runtime = runtime;
  }

  /** Limits waits until it is disposed: for work of the runtime that has timers, which end no wait. */
  limitWaits(): Disposable {
    this.#limits += 1;
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) this.#limits -= 1;
        held = false;
      },
    };
  }

  /** Calls `handler` whenever `fd` has one of `events`. The caller keeps ownership of the descriptor. Throws SysError. */
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
      this.#watched.delete(key); // epoll refuses this descriptor
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

  /** Calls `handler` every `periodMs`, first after one period; from 100 ms on up to a quarter of it late, 40 ms at most. */
  every(periodMs: number, handler: () => void): Disposable {
    return this.#timers.every(periodMs, handler);
  }

  /** Calls `handler` once, after `delayMs`. */
  after(delayMs: number, handler: () => void): Disposable {
    return this.#timers.after(delayMs, handler);
  }

  /** Calls `handler` at the end of each turn in which `ask` was called, after all descriptors and timers. */
  deferred(handler: () => void): Deferred {
    const entry = { asked: false, handler };
    this.#deferred.add(entry);
    return {
      ask: () => {
        entry.asked = this.#asked = true;
      },
      [Symbol.dispose]: () => this.#deferred.delete(entry),
    };
  }

  /**
   * A promise that handlers settle. Code that awaits it continues at the end of that turn. It is rejected when any handler
   * of the loop throws, so that the code that awaits it disposes what it owns.
   */
  promise<T>(): PromiseWithResolvers<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#pending.add(reject);
    const settled = () => this.#pending.delete(reject);
    promise.then(settled, settled); // also: it may be rejected before it is awaited
    if (this.#failure !== undefined) reject(this.#failure.error);
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

  /** Resolves after `delayMs`, or when `signal` aborts. */
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

  /**
   * Waits and calls handlers until `task` is settled. Returns its result; throws what it throws. When a handler throws,
   * the task is rejected with that error, wherever it waits, so that every `using` in it runs; then the error is thrown.
   */
  async run<T>(task: Promise<T>): Promise<T> {
    if (this.#running) throw new Error("the loop is running already");
    this.#running = true;
    this.#failure = undefined;
    this.#settled = true; // the task may wait for a promise that is settled already
    let over = false;
    const end = () => {
      over = true;
    };
    task.then(end, end);
    let yieldedMs = 0;
    this.#nowMs = performance.now();
    this.#timers.look(); // a handler that threw in an earlier run has kept it from looking
    try {
      while (!over && this.#failure === undefined) {
        const idle = this.#turn();
        if (this.#settled) this.#quietWaits = 0;
        if (this.#settled || this.#mustYield(idle, this.#nowMs - yieldedMs)) {
          this.#settled = false;
          await new Promise(setImmediate);
          this.#nowMs = yieldedMs = performance.now();
        }
      }
      const failure = this.#failure as { readonly error: unknown } | undefined;
      if (failure === undefined) return await task;
      for (const untilMs = performance.now() + LONGEST_CLEANUP_MS; !over; ) {
        if (performance.now() > untilMs) break;
        await new Promise(setImmediate);
      }
      throw failure.error;
    } finally {
      this.#running = false;
      if (over) this.#failure = undefined;
    }
  }

  /** Waits once and calls the handlers that are due: the only place that calls handlers. Answers whether nothing was ready. */
  #turn(): boolean {
    try {
      const waitMs = this.#waitMs();
      const count = this.#epoll.wait(waitMs);
      this.#quiet = count === 0 && (waitMs < 0 || waitMs >= QUIET_MS);
      if (this.#quiet) this.#quietWaits += 1;
      else if (count > 0) this.#quietWaits = 0;
      for (let i = 0; i < count; i++) {
        // An earlier handler of this batch may have ended this watch: then it is no longer in the map.
        this.#watched.get(this.#epoll.key(i))?.handler(this.#epoll.events(i));
      }
      this.#nowMs = performance.now();
      if (this.#timers.fire(this.#nowMs)) this.#nowMs = performance.now();
      if (this.#asked) this.#runDeferred();
      return count === 0;
    } catch (error) {
      this.#failure = { error };
      for (const reject of this.#pending) reject(error);
      return true;
    }
  }

  #waitMs(): number {
    if (this.#settled || this.#asked) return 0;
    const unlimited = this.#quietWaits >= SETTLING_WAITS && this.#isWoken();
    const dueMs = this.#timers.waitMs(this.#nowMs);
    if (unlimited) return dueMs === Number.POSITIVE_INFINITY ? -1 : Math.min(MOST_MS, dueMs);
    return Math.min(LONGEST_WAIT_MS, dueMs);
  }

  /** Whether the loop is woken for all that the runtime may have to do. */
  #isWoken(): boolean {
    return this.#runtime !== undefined && this.#limits === 0 && !this.#runtime.timers();
  }

  /** Whether the runtime has to run, after a turn in which nothing was ready (`idle`) or something was, `sinceMs` after the last time. */
  #mustYield(idle: boolean, sinceMs: number): boolean {
    if (!idle && sinceMs <= YIELD_EVERY_MS) return false;
    if (sinceMs > YIELD_WOKEN_MS || !this.#isWoken()) return true;
    return this.#quiet && this.#quietWaits <= SETTLING_WAITS;
  }

  #runDeferred(): void {
    this.#asked = false;
    for (const entry of this.#deferred) {
      if (!entry.asked) continue;
      entry.asked = false;
      entry.handler();
    }
    this.#nowMs = performance.now();
  }

  [Symbol.dispose](): void {
    this.#epoll[Symbol.dispose]();
  }
}
