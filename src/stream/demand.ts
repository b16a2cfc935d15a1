// Whether anything wants a receiver's frames: for --on-demand, where it listens only while a program reads its cameras.
import type { Loop } from "../loop.ts";

/** A program that tries a camera out closes it and opens it again: the sender is kept that long. */
const LINGER_MS = 2000;

export class Demand {
  readonly #loop: Loop;
  readonly #readers = new Map<string, number>();
  #wanted = false;
  #begin: () => void = () => undefined;
  #ends = new AbortController();
  #linger: Disposable | undefined;

  constructor(loop: Loop) {
    this.#loop = loop;
  }

  /**
   * The number of programs that read `camera` has changed; undefined: the camera is gone. Without the last camera the other
   * outputs go on as they are.
   */
  set(camera: string, readers: number | undefined): void {
    if (readers === undefined) this.#readers.delete(camera);
    else this.#readers.set(camera, readers);
    if (this.#readers.size === 0) return;
    const some = [...this.#readers.values()].some((count) => count > 0);
    if (some) this.#start();
    else if (this.#wanted) this.#linger ??= this.#loop.after(LINGER_MS, () => this.#end());
  }

  #start(): void {
    this.#linger?.[Symbol.dispose]();
    this.#linger = undefined;
    if (this.#wanted) return;
    this.#wanted = true;
    this.#ends = new AbortController();
    this.#begin();
  }

  #end(): void {
    this.#linger = undefined;
    this.#wanted = false;
    this.#ends.abort();
  }

  /** Waits until frames are wanted, or `signal` aborts. The answer aborts when they are not wanted any more. */
  async begins(signal: AbortSignal): Promise<AbortSignal> {
    if (!this.#wanted && !signal.aborted) {
      const { promise, resolve } = this.#loop.promise<void>();
      const begin = () => resolve();
      this.#begin = begin;
      signal.addEventListener("abort", begin, { once: true });
      try {
        await promise;
      } finally {
        signal.removeEventListener("abort", begin);
      }
    }
    return AbortSignal.any([signal, this.#ends.signal]);
  }
}
