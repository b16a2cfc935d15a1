// Receives frames into memory, then checks, shows or writes them.
import type { StreamInfo } from "../../frame/frame.ts";
import { type Allocator, type FrameBuffer, WRITE } from "../../frame/memory.ts";
import type { Waiting } from "../connection.ts";
import { Consumer, type ConsumerOptions } from "../consumer.ts";
import type { FrameHeader } from "./messages.ts";
import type { Target } from "./target.ts";

export interface MemoryTargetOptions extends ConsumerOptions {
  readonly allocator: Allocator;
}

/**
 * Has one buffer of `sizeimage` bytes, allocated for the first frame: the next frame is received when this one was taken.
 * Another one is allocated when a frame comes while an output holds all that there are.
 */
export class MemoryTarget implements Target {
  readonly #stream: StreamInfo;
  readonly #allocator: Allocator;
  readonly #consumer: Consumer;
  readonly #buffers: FrameBuffer[] = [];
  readonly #held: boolean[] = [];
  /** The buffer of the newest frame. */
  #current = 0;

  constructor(stream: StreamInfo, options: MemoryTargetOptions, waiting: Waiting) {
    this.#stream = stream;
    this.#allocator = options.allocator;
    this.#consumer = new Consumer(stream, options, {
      ready: (taken) => {
        this.#held[this.#current] = taken === "held";
        waiting.ready(taken);
      },
      failed: waiting.failed,
      returned: (index) => {
        this.#held[index] = false;
      },
    });
  }

  begin(_header: FrameHeader): number {
    this.#current = 0;
    while (this.#held[this.#current] === true) this.#current += 1;
    const buffer = this.#buffers[this.#current] ?? this.#allocate();
    buffer.begin(WRITE);
    return buffer.mapping.address;
  }

  #allocate(): FrameBuffer {
    const buffer = this.#allocator.allocate(this.#stream.sizeimage);
    this.#consumer.add(this.#buffers.length, buffer);
    this.#buffers.push(buffer);
    return buffer;
  }

  complete(header: FrameHeader): boolean {
    this.#buffers[this.#current]?.end(WRITE);
    const taken = this.#consumer.take(this.#current, header);
    this.#held[this.#current] = taken === "held";
    return taken !== "waits";
  }

  [Symbol.dispose](): void {
    this.#consumer[Symbol.dispose](); // first: it may still read the buffers
    for (const buffer of this.#buffers) buffer[Symbol.dispose]();
  }
}
