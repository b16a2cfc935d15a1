// Where a receiver listens: it may stop to listen and begin again.
import type { Loop } from "../loop.ts";
import { type ArrivalOptions, Arrivals } from "./arrivals.ts";
import type { Address } from "./socket/address.ts";
import { Listener } from "./socket/listener.ts";

export interface PlaceOptions extends ArrivalOptions {
  readonly address: Address;
  readonly allowed: (peer: string) => boolean;
}

export class ListeningPlace implements Disposable {
  readonly #loop: Loop;
  readonly #options: PlaceOptions;
  #arrivals: Arrivals | undefined;

  constructor(loop: Loop, options: PlaceOptions) {
    this.#loop = loop;
    this.#options = options;
  }

  /** Undefined while it does not listen. */
  get arrivals(): Arrivals | undefined {
    return this.#arrivals;
  }

  /** `Listener.open`. */
  async open(signal: AbortSignal): Promise<Arrivals | undefined> {
    if (this.#arrivals !== undefined) return this.#arrivals;
    const { address, allowed } = this.#options;
    const listener = await Listener.open(this.#loop, address, allowed, signal);
    this.#arrivals = listener && new Arrivals(this.#loop, listener, this.#options);
    return this.#arrivals;
  }

  close(): void {
    this.#arrivals?.[Symbol.dispose]();
    this.#arrivals = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
