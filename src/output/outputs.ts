// All outputs of a receiver as one. An output that fails is given up with one line while there are others, and the tool ends
// with its error; without others it ends the tool at once.
import type { Memory } from "../../ffi/mapping.ts";
import { log } from "../cli/log.ts";
import { isExpected, ProtocolError } from "../errors.ts";
import type { Picture } from "../format/picture-layout.ts";
import type { FrameOutput, FrameWriter } from "./frame-output.ts";

export class Outputs implements FrameOutput {
  readonly #owned = new DisposableStack();
  readonly #left: FrameOutput[] = [];
  readonly #begun = new Set<FrameOutput>();
  #frames = 0;
  #failure: Error | undefined;

  /** Takes ownership of an output. */
  add<T extends FrameOutput>(output: T): T {
    this.#left.push(this.#owned.use(output));
    return output;
  }

  get name(): string {
    return this.#left.map(({ name }) => name).join(", ");
  }
  get frames(): number {
    return this.#frames;
  }
  /** Why an output was given up while others went on: the tool ends with this error. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Gives up `output` because of `error`. Throws the error when no other output is left. */
  fail(output: FrameOutput, error: unknown): void {
    const at = this.#left.indexOf(output);
    if (at < 0) return;
    if (this.#left.length === 1 || !isExpected(error)) throw error;
    this.#left.splice(at, 1);
    this.#begun.delete(output);
    output[Symbol.dispose]();
    this.#failure ??= error;
    log.error(`${error.message}; the other outputs go on`);
  }

  begin(picture: Picture): void {
    for (const output of [...this.#left]) {
      try {
        output.begin(picture);
        this.#begun.add(output);
      } catch (error) {
        if (error instanceof ProtocolError) {
          this.end();
          throw error;
        }
        this.fail(output, error);
      }
    }
  }

  writerFor(memory: Memory): FrameWriter {
    const writers = this.#left.map((output) => ({ output, write: output.writerFor(memory) }));
    let waiting = 0;
    let whenReady: () => void = () => undefined;
    let whenFailed: (error: unknown) => void = () => undefined;
    const ready = () => {
      waiting -= 1;
      if (waiting > 0) return;
      this.#frames += 1;
      whenReady();
    };
    const failedBy = writers.map(({ output }) => (error: unknown) => {
      try {
        this.fail(output, error);
      } catch (last) {
        whenFailed(last);
        return;
      }
      ready();
    });
    return (bytes, onReady, onFailed) => {
      whenReady = onReady;
      whenFailed = onFailed;
      waiting = 0;
      for (let i = 0; i < writers.length; i++) {
        const writer = writers[i];
        if (writer === undefined || !this.#left.includes(writer.output)) continue;
        try {
          if (!writer.write(bytes, ready, failedBy[i] ?? onFailed)) waiting += 1;
        } catch (error) {
          this.fail(writer.output, error);
        }
      }
      if (waiting === 0) this.#frames += 1;
      return waiting === 0;
    };
  }

  end(): void {
    for (const output of this.#begun) output.end();
    this.#begun.clear();
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}
