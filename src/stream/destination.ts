// What a receiver does with the frames of one sender, over all its connections: writes and checks them, and says so in the
// summary.
import { counted, countedWere } from "../cli/counted.ts";
import type { StreamStats, Summary } from "../cli/stats.ts";
import { StampChecker } from "../format/stamp.ts";
import type { OpenedOutputs } from "../output/open-outputs.ts";
import { Outputs } from "../output/outputs.ts";
import type { ConsumerOptions } from "./consumer.ts";

export interface DestinationOptions {
  /** Check the stamps. */
  readonly verify: boolean;
  /** Whether there are outputs. They are opened later, into `outputs`. */
  readonly writes: boolean;
}

type Files = OpenedOutputs["files"];

export class Destination implements Disposable {
  readonly outputs = new Outputs();
  readonly consumer: ConsumerOptions;
  readonly #checker: StampChecker | undefined;
  #files: Files = [];
  readonly #cameras: OpenedOutputs["cameras"][number][] = [];
  /** Of files that were closed: lines for the summary, and frames that were too short. */
  readonly #closedLines: string[] = [];
  #closedLeftOut = 0;
  #changed = 0;

  constructor({ verify, writes }: DestinationOptions) {
    this.#checker = verify ? new StampChecker() : undefined;
    this.consumer = {
      checker: this.#checker,
      changed: () => {
        this.#changed += 1;
      },
      output: writes ? this.outputs : undefined,
    };
  }

  /** Takes what was opened into `outputs`. */
  opened({ files, cameras }: OpenedOutputs): void {
    this.#files = [...this.#files, ...files];
    this.#cameras.push(...cameras);
  }

  /** Whether files are open, or will be with the first frame. */
  get hasFiles(): boolean {
    return this.#files.length > 0;
  }

  /** Closes the files: the next stream gets others. `fps` is the measured rate. Throws SysError. */
  closeFiles(fps: number): void {
    const files = this.#files;
    this.#files = [];
    this.#closedLeftOut += leftOutOf(files);
    for (const file of files) {
      this.#closedLines.push(...file.finish(fps));
      this.outputs.remove(file);
    }
  }

  /** Frames that files and cameras did not take. */
  get leftOut(): number {
    return this.#leftOutOfFiles + this.#cameras.reduce((sum, camera) => sum + camera.leftOut, 0);
  }

  get #leftOutOfFiles(): number {
    return this.#closedLeftOut + leftOutOf(this.#files);
  }

  /** Throws what an output failed with while others went on. Call when serving has ended. */
  check(): void {
    if (this.outputs.failure !== undefined) throw this.outputs.failure;
  }

  /** Closes the files and says what was done. Throws SysError. */
  summary({ fps }: StreamStats): Summary {
    const written = [...this.#closedLines, ...this.#files.flatMap((file) => file.finish(fps))];
    const lines: string[] = [];
    if (this.#checker !== undefined)
      lines.push(`verified ${counted(this.#checker.verified, "frame")}`);
    if (this.#changed > 0) {
      lines.push(
        `${countedWere(this.#changed, "frame")} overwritten by another sender during the read`,
      );
    }
    lines.push(...written);
    for (const { name, frames: shown, copied, leftOut } of this.#cameras)
      lines.push(
        `${name}: ${counted(shown, "frame")} shown, ${copied} copied, ${leftOut} left out`,
      );
    const shown = this.#cameras.map(({ name, frames: count, copied, leftOut }) => ({
      path: name,
      frames: count,
      copied,
      left_out: leftOut,
    }));
    const leftOut = this.#leftOutOfFiles;
    const fields = {
      ...(this.#checker !== undefined && { verified: this.#checker.verified }),
      ...(this.#changed > 0 && { changed: this.#changed }),
      ...(leftOut > 0 && { left_out: leftOut }),
      ...(shown.length > 0 && { cameras: shown }),
    };
    return { lines, fields };
  }

  [Symbol.dispose](): void {
    this.outputs[Symbol.dispose]();
  }
}

const leftOutOf = (files: Files): number =>
  files.reduce((sum, { leftOutFrames }) => sum + leftOutFrames, 0);
