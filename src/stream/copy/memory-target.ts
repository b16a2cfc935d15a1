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

/** Has `buffer_count` buffers of `sizeimage` bytes, like the sender. A buffer is allocated when a frame first needs it. */
export class MemoryTarget implements Target {
  readonly #stream: StreamInfo;
  readonly #allocator: Allocator;
  readonly #consumer: Consumer;
  readonly #buffers: (FrameBuffer | undefined)[];
  readonly #owned = new DisposableStack();

  constructor(stream: StreamInfo, options: MemoryTargetOptions, waiting: Waiting) {
    this.#stream = stream;
    this.#allocator = options.allocator;
    this.#consumer = this.#owned.use(new Consumer(stream, options, waiting));
    this.#buffers = new Array(stream.bufferCount).fill(undefined);
  }

  begin(header: FrameHeader): number {
    const index = header.index % this.#stream.bufferCount;
    const buffer = this.#buffers[index] ?? this.#allocate(index);
    buffer.begin(WRITE);
    return buffer.mapping.address;
  }

  #allocate(index: number): FrameBuffer {
    const buffer = this.#owned.use(this.#allocator.allocate(this.#stream.sizeimage));
    this.#consumer.add(index, buffer);
    this.#buffers[index] = buffer;
    return buffer;
  }

  complete(header: FrameHeader): boolean {
    const index = header.index % this.#stream.bufferCount;
    this.#buffers[index]?.end(WRITE);
    return this.#consumer.take(index, header);
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}
