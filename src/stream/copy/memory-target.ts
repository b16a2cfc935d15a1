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
 */
export class MemoryTarget implements Target {
  readonly #stream: StreamInfo;
  readonly #allocator: Allocator;
  readonly #consumer: Consumer;
  #buffer: FrameBuffer | undefined;

  constructor(stream: StreamInfo, options: MemoryTargetOptions, waiting: Waiting) {
    this.#stream = stream;
    this.#allocator = options.allocator;
    this.#consumer = new Consumer(stream, options, waiting);
  }

  begin(_header: FrameHeader): number {
    this.#buffer ??= this.#allocate();
    this.#buffer.begin(WRITE);
    return this.#buffer.mapping.address;
  }

  #allocate(): FrameBuffer {
    const buffer = this.#allocator.allocate(this.#stream.sizeimage);
    this.#consumer.add(0, buffer);
    return buffer;
  }

  complete(header: FrameHeader): boolean {
    this.#buffer?.end(WRITE);
    return this.#consumer.take(0, header);
  }

  [Symbol.dispose](): void {
    this.#consumer[Symbol.dispose](); // first: it may still read the buffer
    this.#buffer?.[Symbol.dispose]();
  }
}
