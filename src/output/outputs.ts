// All outputs of a receiver as one. An output that fails is given up with one line while there are others, and the tool ends
// with its error; without others it ends the tool at once.
import { log } from "../cli/log.ts";
import { isExpected, ProtocolError } from "../errors.ts";
import type { Picture } from "../format/picture-layout.ts";
import type { FrameFacts } from "../frame/frame.ts";
import type { FrameBuffer } from "../frame/memory.ts";
import type { StreamOutput, StreamWriter, Taken, WriterCalls } from "../frame/stream-output.ts";

export class Outputs implements StreamOutput {
  readonly #owned = new Set<StreamOutput>();
  readonly #left: StreamOutput[] = [];
  #failure: Error | undefined;

  /** Takes ownership of an output. */
  add<T extends StreamOutput>(output: T): T {
    this.#owned.add(output);
    this.#left.push(output);
    return output;
  }

  /** Takes an output out and disposes it. Call between two streams. */
  remove(output: StreamOutput): void {
    const at = this.#left.indexOf(output);
    if (at >= 0) this.#left.splice(at, 1);
    if (this.#owned.delete(output)) output[Symbol.dispose]();
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
    using all = new DisposableStack();
    for (const output of this.#owned) all.use(output);
    this.#owned.clear();
  }
}

/** The writer of one stream in one output. */
interface Part {
  readonly output: StreamOutput;
  readonly writer: StreamWriter;
  /** By buffer: whether this output holds its frame. */
  readonly holds: boolean[];
}

class AllWriters implements StreamWriter {
  readonly #outputs: Outputs;
  readonly #calls: WriterCalls;
  readonly #parts: Part[] = [];
  /** Outputs for which the newest frame, in buffer `#index`, waits. */
  #waiting = 0;
  #index = -1;
  /** The newest frame has not been offered to all outputs. */
  #writing = false;
  #changed = false;

  constructor(outputs: Outputs, calls: WriterCalls) {
    this.#outputs = outputs;
    this.#calls = calls;
  }

  begin(output: StreamOutput, picture: Picture): void {
    const holds: boolean[] = [];
    const writer = output.begin(picture, {
      ready: (taken) => {
        if (taken === "held") holds[this.#index] = true;
        this.#ready();
      },
      failed: (error) => this.#failed(output, error),
      returned: (index) => {
        holds[index] = false;
        this.#returned(index);
      },
      changed: () => {
        if (!this.#changed) this.#calls.changed();
        this.#changed = true; // a frame counts once
      },
    });
    this.#parts.push({ output, writer, holds });
  }

  add(index: number, buffer: FrameBuffer): void {
    for (const { writer } of this.#parts) writer.add(index, buffer);
  }

  write(index: number, frame: FrameFacts): Taken {
    this.#waiting = 0;
    this.#changed = false;
    this.#index = index;
    this.#writing = true;
    for (let i = 0; i < this.#parts.length; i++) {
      const { output, writer, holds } = this.#parts[i] as Part;
      if (!this.#outputs.has(output)) continue;
      try {
        const taken = writer.write(index, frame);
        if (taken === "waits") this.#waiting += 1;
        else if (taken === "held") holds[index] = true;
      } catch (error) {
        if (error instanceof ProtocolError) throw error;
        this.#outputs.fail(output, error);
      }
    }
    this.#writing = false;
    return this.#waiting > 0 ? "waits" : this.#taken(index);
  }

  #taken(index: number): Taken {
    for (let i = 0; i < this.#parts.length; i++)
      if (this.#parts[i]?.holds[index] === true) return "held";
    return "taken";
  }

  #ready(): void {
    this.#waiting -= 1;
    if (this.#waiting === 0) this.#calls.ready(this.#taken(this.#index));
  }

  #returned(index: number): void {
    const busy = index === this.#index && (this.#writing || this.#waiting > 0);
    if (!busy && this.#taken(index) === "taken") this.#calls.returned(index);
  }

  #failed(output: StreamOutput, error: unknown): void {
    try {
      if (error instanceof ProtocolError) throw error; // ends the stream, not the output
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
