// What a receiver does with a complete frame, in both flows: check its stamp, show it, write it. With zero copy it is the
// stream's ViewTarget.
import type { Memory } from "../../ffi/mapping.ts";
import { ProtocolError } from "../errors.ts";
import { STAMP_BYTES, type StampChecker, StampedBuffer } from "../format/stamp.ts";
import type { FrameFacts, StreamInfo } from "../frame/frame.ts";
import { type FrameBuffer, READ } from "../frame/memory.ts";
import type { StreamOutput, StreamWriter, Taken } from "../frame/stream-output.ts";
import type { Waiting } from "./connection.ts";

export interface ConsumerOptions {
  readonly output?: StreamOutput | undefined;
  readonly checker?: StampChecker | undefined;
  /** Called when a frame's memory was given to another stream while it was read. Such a frame is not delivered. */
  readonly changed?: (() => void) | undefined;
  /** Opens what shows the stream's frames, for as long as the stream lasts. Throws ProtocolError to refuse the stream. */
  readonly openViewer?: ((stream: StreamInfo) => Viewer) | undefined;
}

/** Shows the frames of one stream. */
export interface Viewer extends Disposable {
  /** Called for each complete frame; `memory` may be read during the call only. */
  show(memory: Memory, frame: FrameFacts): void;
}

/** A buffer, with all that reading it needs. Made once per buffer. */
interface Slot {
  readonly buffer: FrameBuffer;
  readonly stamp: StampedBuffer | undefined;
}

export class Consumer implements Disposable {
  /** Whether the bytes of a frame are read at all. */
  readonly reads: boolean;
  readonly #options: ConsumerOptions;
  readonly #viewer: Viewer | undefined;
  readonly #slots: Slot[] = [];
  readonly #writer: StreamWriter | undefined;
  /** The buffer that is being read. */
  #current: FrameBuffer | undefined;

  /** Begins a stream. Throws ProtocolError when the stream does not fit what the output holds already. */
  constructor(stream: StreamInfo, options: ConsumerOptions, waiting: Waiting) {
    this.#options = options;
    using opened = new DisposableStack();
    this.#viewer = opened.use(options.openViewer?.(stream));
    const { output, checker } = options;
    this.#writer = output?.begin(stream, {
      ready: (taken) => {
        this.#end();
        waiting.ready(taken);
      },
      failed: waiting.failed,
      returned: waiting.returned,
      changed: () => this.#changed(),
    });
    checker?.restart();
    this.reads = output !== undefined || checker !== undefined || this.#viewer !== undefined;
    opened.move();
  }

  /** Adds a buffer, which the caller keeps alive. Frames name it by `index`. */
  add(index: number, buffer: FrameBuffer): void {
    const { checker } = this.#options;
    const { length } = buffer.mapping;
    this.#writer?.add(index, buffer);
    const stamped = checker !== undefined && length > STAMP_BYTES;
    this.#slots[index] = {
      buffer,
      stamp: stamped ? new StampedBuffer(buffer.mapping.bytes) : undefined,
    };
  }

  /**
   * Reads the frame in buffer `index`. "waits": the frame has to stay until `waiting.ready` or `waiting.failed` is called.
   * "held": until `waiting.returned` is. Throws SysError, or ProtocolError for a wrong frame.
   */
  take(index: number, frame: FrameFacts): Taken {
    const slot = this.#slots[index];
    if (slot === undefined) throw new RangeError(`buffer ${index} of ${this.#slots.length}`);
    if (!this.reads) return "taken";
    slot.buffer.begin(READ);
    this.#current = slot.buffer;
    this.#check(slot, frame);
    this.#viewer?.show(slot.buffer.mapping, frame);
    const taken = this.#write(index, frame);
    if (taken !== "waits") this.#end();
    return taken;
  }

  #write(index: number, frame: FrameFacts): Taken {
    if (this.#writer !== undefined) return this.#writer.write(index, frame);
    if (this.#current?.changed?.() === true) this.#changed();
    return "taken";
  }

  #changed(): void {
    this.#options.checker?.revoke();
    this.#options.changed?.();
  }

  #end(): void {
    this.#current?.end(READ);
    this.#current = undefined;
  }

  #check({ stamp }: Slot, { bytesused, sequence }: FrameFacts): void {
    const { checker } = this.#options;
    if (checker === undefined) return;
    const wrong =
      stamp === undefined
        ? "wrong: no room for a stamp"
        : checker.check(stamp, bytesused, sequence);
    // Of a picture that was overwritten meanwhile nothing can be said.
    if (wrong === undefined || this.#current?.changed?.() === true) return;
    throw new ProtocolError(
      `--verify: frame ${checker.verified + 1}, sequence ${sequence}, is ${wrong}; ${checker.verified} before it are right`,
    );
  }

  [Symbol.dispose](): void {
    this.#current = undefined;
    this.#writer?.[Symbol.dispose]();
    this.#viewer?.[Symbol.dispose]();
  }
}
