// All outputs of a receiver as one. An output that fails is given up with one line while there are others, and the tool ends
// with its error; without others it ends the tool at once.
import type { Memory } from "../../ffi/mapping.ts";
import { log } from "../cli/log.ts";
import { isExpected, ProtocolError } from "../errors.ts";
import type { Picture } from "../format/picture-layout.ts";
import type { FrameFacts } from "../frame/frame.ts";
import type { StreamOutput, StreamWriter, WriterCalls } from "./stream-output.ts";

export class Outputs implements StreamOutput {
  readonly #owned = new DisposableStack();
  readonly #left: StreamOutput[] = [];
  #failure: Error | undefined;

  /** Takes ownership of an output. */
  add<T extends StreamOutput>(output: T): T {
    this.#left.push(this.#owned.use(output));
    return output;
  }

  get name(): string {
    return this.#left.map(({ name }) => name).join(", ");
  }
  /** Why an output was given up while others went on: the tool ends with this error. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  has(output: StreamOutput): boolean {
    return this.#left.includes(output);
  }

  /** Gives up `output` because of `error`. Throws the error when no other output is left. */
  fail(output: StreamOutput, error: unknown): void {
    const at = this.#left.indexOf(output);
    if (at < 0) return;
    if (this.#left.length === 1 || !isExpected(error)) throw error;
    this.#left.splice(at, 1);
    output[Symbol.dispose]();
    this.#failure ??= error;
    log.error(`${error.message}; the other outputs go on`);
  }

  begin(picture: Picture, calls: WriterCalls): StreamWriter {
    using begun = new DisposableStack();
    const all = new AllWriters(this, calls);
    begun.use(all);
    for (const output of [...this.#left]) {
      try {
        all.begin(output, picture);
      } catch (error) {
        if (error instanceof ProtocolError) throw error;
        this.fail(output, error);
      }
    }
    begun.move();
    return all;
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

/** The writer of one stream in one output. */
interface Part {
  readonly output: StreamOutput;
  readonly writer: StreamWriter;
}

class AllWriters implements StreamWriter {
  readonly #outputs: Outputs;
  readonly #calls: WriterCalls;
  readonly #parts: Part[] = [];
  /** Outputs that have not taken the frame yet. */
  #waiting = 0;
  #changed = false;

  constructor(outputs: Outputs, calls: WriterCalls) {
    this.#outputs = outputs;
    this.#calls = calls;
  }

  begin(output: StreamOutput, picture: Picture): void {
    const writer = output.begin(picture, {
      ready: () => this.#ready(),
      failed: (error) => this.#failed(output, error),
      changed: () => {
        if (!this.#changed) this.#calls.changed();
        this.#changed = true; // a frame counts once
      },
    });
    this.#parts.push({ output, writer });
  }

  add(index: number, memory: Memory, changed?: () => boolean): void {
    for (const { writer } of this.#parts) writer.add(index, memory, changed);
  }

  write(index: number, frame: FrameFacts): boolean {
    this.#waiting = 0;
    this.#changed = false;
    for (let i = 0; i < this.#parts.length; i++) {
      const { output, writer } = this.#parts[i] as Part;
      if (!this.#outputs.has(output)) continue;
      try {
        if (!writer.write(index, frame)) this.#waiting += 1;
      } catch (error) {
        if (error instanceof ProtocolError) throw error;
        this.#outputs.fail(output, error);
      }
    }
    return this.#waiting === 0;
  }

  #ready(): void {
    this.#waiting -= 1;
    if (this.#waiting === 0) this.#calls.ready();
  }

  #failed(output: StreamOutput, error: unknown): void {
    try {
      this.#outputs.fail(output, error);
    } catch (last) {
      this.#calls.failed(last);
      return;
    }
    this.#ready();
  }

  [Symbol.dispose](): void {
    for (const { writer } of this.#parts.splice(0)) writer[Symbol.dispose]();
  }
}
