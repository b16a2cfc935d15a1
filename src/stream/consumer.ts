// What a receiver does with a complete frame, in both flows: check its stamp, show it, write it.
import type { Gather } from "../../ffi/gather.ts";
import type { Memory } from "../../ffi/mapping.ts";
import { ProtocolError } from "../errors.ts";
import { STAMP_BYTES, type StampChecker, StampedBuffer } from "../format/stamp.ts";
import type { FrameFacts, StreamInfo } from "../frame/frame.ts";
import type { Output } from "../output/file.ts";
import type { Waiting } from "./connection.ts";

export interface ConsumerOptions {
  readonly output?: Output | undefined;
  readonly checker?: StampChecker | undefined;
  /** Opens what shows the stream's frames, for as long as the stream lasts. Throws ProtocolError to refuse the stream. */
  readonly openViewer?: (() => Viewer) | undefined;
}

/** Shows the frames of one stream. */
export interface Viewer extends Disposable {
  /** Called for each complete frame; `memory` may be read during the call only. */
  show(memory: Memory, frame: FrameFacts): void;
}

/** A buffer, with all that reading it needs. Made once per buffer. */
export interface Readable {
  readonly memory: Memory;
  readonly gather: Gather | undefined;
  readonly stamp: StampedBuffer | undefined;
}

export class Consumer implements Disposable {
  readonly #options: ConsumerOptions;
  readonly #failed: (error: unknown) => void;
  readonly #written: () => void;
  readonly #viewer: Viewer | undefined;

  /**
   * A stream begins. When a frame had to wait for a pipe, `done` is called once it was written, then `waiting.ready`.
   * Throws ProtocolError when the stream does not fit what the output holds already.
   */
  constructor(stream: StreamInfo, options: ConsumerOptions, waiting: Waiting, done: () => void) {
    this.#options = options;
    this.#failed = waiting.failed;
    this.#written = () => {
      done();
      waiting.ready();
    };
    using opened = new DisposableStack();
    this.#viewer = opened.use(options.openViewer?.());
    options.output?.begin(stream);
    options.checker?.restart();
    opened.move();
  }

  /** Whether the bytes of a frame are read at all. */
  get reads(): boolean {
    const { output, checker } = this.#options;
    return output !== undefined || checker !== undefined || this.#viewer !== undefined;
  }

  readable(memory: Memory): Readable {
    const { output, checker } = this.#options;
    const { address, length, bytes } = memory;
    const stamped = checker !== undefined && length > STAMP_BYTES;
    return {
      memory,
      gather: output?.gatherFor({ address, length }),
      stamp: stamped ? new StampedBuffer(bytes) : undefined,
    };
  }

  /**
   * Reads a frame. Returns false when a pipe is full: the frame has to stay until `done` is called. Throws SysError, or
   * ProtocolError for a wrong frame.
   */
  take(readable: Readable, frame: FrameFacts): boolean {
    const { output } = this.#options;
    this.#check(readable, frame);
    this.#viewer?.show(readable.memory, frame);
    if (output === undefined || readable.gather === undefined) return true;
    return output.write(readable.gather, frame.bytesused, this.#written, this.#failed);
  }

  #check({ stamp }: Readable, { bytesused, sequence }: FrameFacts): void {
    const { checker } = this.#options;
    if (checker === undefined) return;
    const wrong =
      stamp === undefined
        ? "wrong: no room for a stamp"
        : checker.check(stamp, bytesused, sequence);
    if (wrong === undefined) return;
    throw new ProtocolError(
      `--verify: frame ${checker.verified + 1}, sequence ${sequence}, is ${wrong}; ${checker.verified} before it are right`,
    );
  }

  [Symbol.dispose](): void {
    this.#viewer?.[Symbol.dispose]();
  }
}
