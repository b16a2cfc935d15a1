// What the rings hand to a device: requests that are answered once, and a loop whose handlers may throw.
import type { Loop } from "../loop.ts";
import type { Chain } from "../virtio/chain.ts";
import type { DeviceLoop, Request } from "../virtio/virtio-device.ts";

const none: Uint8Array<ArrayBuffer> = new Uint8Array(new ArrayBuffer(0));

/** `loop` for a device: what its handlers throw goes to `failed` and not through the loop. */
export function guarded(loop: Loop, failed: (error: unknown) => void): DeviceLoop {
  const safely =
    <A extends unknown[]>(handler: (...args: A) => void) =>
    (...args: A) => {
      try {
        handler(...args);
      } catch (error) {
        failed(error);
      }
    };
  return {
    watch: (fd, events, handler) => loop.watch(fd, events, safely(handler)),
    every: (periodMs, handler) => loop.every(periodMs, safely(handler)),
    after: (delayMs, handler) => loop.after(delayMs, safely(handler)),
  };
}

/** A request as a device sees it. */
export class RingRequest implements Request {
  bytes: Uint8Array<ArrayBuffer>;
  readonly room: number;
  readonly #life: number;
  #done: ((life: number, answer: Uint8Array) => void) | undefined;
  constructor(chain: Chain, life: number, done: (life: number, answer: Uint8Array) => void) {
    this.bytes = chain.bytes;
    this.room = chain.room;
    this.#life = life;
    this.#done = done;
  }
  answer(bytes: Uint8Array): void {
    const done = this.#done;
    this.#done = undefined;
    done?.(this.#life, bytes);
  }
  /** The request's bytes are not needed once the device has seen it. */
  forgetBytes(): void {
    this.bytes = none;
  }
}
