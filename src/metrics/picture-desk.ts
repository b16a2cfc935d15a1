// The newest picture of the stream, for those who ask for it: at most one copy and one PNG a second, however many ask.
import type { Picture } from "../format/picture-layout.ts";
import { makePng } from "./frame-png.ts";
import { control } from "./messages.ts";

/** A picture of this age is shown again. */
const FRESH_MS = 1000;
/** How long the next frame is waited for. */
const WAIT_MS = 1500;

/** A PNG, or why there is none. */
export type Answer = Uint8Array | string;

export class PictureDesk {
  readonly #control: Int32Array;
  #newest: { readonly png: Uint8Array; readonly atMs: number } | undefined;
  #asked: Promise<Answer> | undefined;
  #arrived: ((answer: Answer) => void) | undefined;

  /** `cells` is the shared control memory. */
  constructor(cells: Int32Array) {
    this.#control = cells;
  }

  /** The newest picture; one that is older than a second only when no other comes. */
  async picture(): Promise<Answer> {
    const newest = this.#newest;
    if (newest !== undefined && performance.now() - newest.atMs < FRESH_MS) return newest.png;
    this.#asked ??= this.#ask().finally(() => {
      this.#asked = undefined;
    });
    return await this.#asked;
  }

  async #ask(): Promise<Answer> {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    this.#arrived = resolve;
    Atomics.store(this.#control, control.pictureWanted, 1);
    const timer = setTimeout(() => {
      // The loop sets it to 0 when it copies one: then the message is on its way.
      const wanted = Atomics.exchange(this.#control, control.pictureWanted, 0);
      if (wanted !== 0) resolve(this.#newest?.png ?? "no picture has come yet");
    }, WAIT_MS);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#arrived = undefined;
    }
  }

  /** Takes the copy that the loop has made. */
  take(stream: Picture, bytes: number, memory: SharedArrayBuffer): void {
    const copy = new Uint8Array(bytes);
    copy.set(new Uint8Array(memory, 0, bytes));
    this.#arrived?.(this.#make(stream, copy));
  }

  #make(stream: Picture, bytes: Uint8Array<ArrayBuffer>): Answer {
    try {
      const png = makePng(stream, bytes);
      if (typeof png !== "string") this.#newest = { png, atMs: performance.now() };
      return png;
    } catch (error) {
      return (error as Error).message; // a library is missing, or the picture is damaged
    }
  }
}
