// Receives frames into memory, then checks, shows or writes them.
import type { StreamInfo } from "../../frame/frame.ts";
import { type Allocator, type FrameBuffer, READ, WRITE } from "../../frame/memory.ts";
import type { Waiting } from "../connection.ts";
import { Consumer, type ConsumerOptions, type Readable } from "../consumer.ts";
import type { FrameHeader } from "./messages.ts";
import type { Target } from "./target.ts";

export interface MemoryTargetOptions extends ConsumerOptions {
  readonly allocator: Allocator;
}

interface Slot {
  readonly buffer: FrameBuffer;
  readonly readable: Readable;
}

/** Has `buffer_count` buffers of `sizeimage` bytes, like the sender. A buffer is allocated when a frame first needs it. */
export class MemoryTarget implements Target {
  readonly #stream: StreamInfo;
  readonly #allocator: Allocator;
  readonly #consumer: Consumer;
  readonly #slots: (Slot | undefined)[];
  readonly #owned = new DisposableStack();
  #current: Slot | undefined;

  constructor(stream: StreamInfo, options: MemoryTargetOptions, waiting: Waiting) {
    this.#stream = stream;
    this.#allocator = options.allocator;
    this.#consumer = this.#owned.use(new Consumer(stream, options, waiting, this.#done));
    this.#slots = new Array(stream.bufferCount).fill(undefined);
  }

  begin(header: FrameHeader): number {
    const index = header.index % this.#stream.bufferCount;
    let slot = this.#slots[index];
    if (slot === undefined) {
      slot = this.#makeSlot();
      this.#slots[index] = slot;
    }
    this.#current = slot;
    slot.buffer.begin(WRITE);
    return slot.buffer.mapping.address;
  }

  #makeSlot(): Slot {
    const buffer = this.#owned.use(this.#allocator.allocate(this.#stream.sizeimage));
    return { buffer, readable: this.#consumer.readable(buffer.mapping) };
  }

  complete(header: FrameHeader): boolean {
    const slot = this.#current;
    if (slot === undefined) throw new Error("complete without begin");
    slot.buffer.end(WRITE);
    slot.buffer.begin(READ);
    const taken = this.#consumer.take(slot.readable, header);
    if (taken) this.#done();
    return taken;
  }

  readonly #done = (): void => {
    this.#current?.buffer.end(READ);
    this.#current = undefined;
  };

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}
