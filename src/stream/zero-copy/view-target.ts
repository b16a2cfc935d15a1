// Frames that stay where the sender's camera put them: read there, then handed back.
import type { StreamInfo } from "../../frame/frame.ts";
import { type FrameBuffer, READ } from "../../frame/memory.ts";
import type { Waiting } from "../connection.ts";
import { Consumer, type ConsumerOptions, type Readable } from "../consumer.ts";
import type { ZcFrame } from "./messages.ts";

/** Who reads a zero-copy stream's frames. Its owner is the borrowing; `dispose` ends it, before the buffers go. */
export interface ViewTarget extends Disposable {
  /**
   * Frame `frame` is in buffer number `index`. Answers true when it has been read and may be handed back; false when
   * that has to be waited for: `waiting.ready` is called then, or `waiting.failed`. Throws SysError or ProtocolError.
   */
  take(index: number, frame: ZcFrame): boolean;
}

/** Makes the reader of a stream, with its buffers in the order of their handles. Throws ProtocolError to refuse it. */
export type OpenView = (
  stream: StreamInfo,
  buffers: readonly FrameBuffer[],
  waiting: Waiting,
) => ViewTarget;

/** Checks and writes frames where they are. Without a check or an output it never touches them. */
export class ReadingView implements ViewTarget {
  readonly #consumer: Consumer;
  readonly #slots: readonly { readonly buffer: FrameBuffer; readonly readable: Readable }[];
  readonly #reads: boolean;
  #current: FrameBuffer | undefined;

  constructor(
    stream: StreamInfo,
    buffers: readonly FrameBuffer[],
    waiting: Waiting,
    options: ConsumerOptions,
  ) {
    using opened = new DisposableStack();
    const consumer = opened.use(new Consumer(stream, options, waiting, this.#done));
    this.#consumer = consumer;
    this.#reads = consumer.reads;
    this.#slots = buffers.map((buffer) => ({
      buffer,
      readable: consumer.readable(buffer.mapping),
    }));
    opened.move();
  }

  take(index: number, frame: ZcFrame): boolean {
    const slot = this.#slots[index];
    if (slot === undefined) throw new RangeError(`buffer ${index} of ${this.#slots.length}`);
    if (!this.#reads) return true;
    slot.buffer.begin(READ);
    this.#current = slot.buffer;
    const taken = this.#consumer.take(slot.readable, frame);
    if (taken) this.#done();
    return taken;
  }

  readonly #done = (): void => {
    this.#current?.end(READ);
    this.#current = undefined;
  };

  [Symbol.dispose](): void {
    this.#current = undefined;
    this.#consumer[Symbol.dispose]();
  }
}
