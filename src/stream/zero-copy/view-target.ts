// Reads frames in the sender's buffers.
import type { StreamInfo } from "../../frame/frame.ts";
import { type FrameBuffer, READ } from "../../frame/memory.ts";
import type { Waiting } from "../connection.ts";
import { Consumer, type ConsumerOptions, type Readable } from "../consumer.ts";
import type { ZcFrame } from "./messages.ts";

/** Reads the frames of one stream. The connection's receiver owns it and disposes it before the buffers are unmapped. */
export interface ViewTarget extends Disposable {
  /**
   * Reads `frame`, which is in buffer `index`. Returns true when it may be returned to the sender; false when that needs
   * time (a full pipe): `waiting.ready` or `waiting.failed` is called later. Throws SysError or ProtocolError.
   */
  take(index: number, frame: ZcFrame): boolean;
}

/** Opens the reader of a stream. `buffers` are in the order of their handles. Throws ProtocolError to refuse the stream. */
export type OpenView = (
  stream: StreamInfo,
  buffers: readonly FrameBuffer[],
  waiting: Waiting,
) => ViewTarget;

/** Checks, shows and writes frames in place. If none of these is requested, it does not read them. */
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
