// The picture of a camera without a signal: what is missing, since when, and what would bring it.

import { MadePicture } from "./made-picture.ts";
import type { TargetFormat } from "./picture-layout.ts";
import { drawLines } from "./text.ts";

const GROUND = [24, 28, 36] as const;
const INK = [255, 255, 255] as const;

export class StandbyCard implements Disposable {
  readonly #picture: MadePicture;
  #text = "";

  constructor(format: TargetFormat) {
    this.#picture = new MadePicture(format);
  }

  /** The card with these lines. It is drawn when they have changed. */
  with(lines: readonly string[]): MadePicture {
    const text = lines.join("\n");
    if (text === this.#text) return this.#picture;
    this.#text = text;
    const canvas = this.#picture.memory.canvas();
    canvas.fill(0, 0, canvas.width, canvas.height, canvas.encode(GROUND));
    drawLines(canvas, lines, INK);
    this.#picture.finish();
    return this.#picture;
  }

  [Symbol.dispose](): void {
    this.#picture[Symbol.dispose]();
  }
}
