// The picture of a virtual camera without a signal: what is missing, since when, and where a sender has to connect to.
import { drawLines } from "../../format/text.ts";
import type { NodeFormat } from "../../v4l2/output-format.ts";
import { NodePicture } from "./node-picture.ts";

const GROUND = [24, 28, 36] as const;
const INK = [255, 255, 255] as const;

export class CameraCard implements Disposable {
  readonly #picture: NodePicture;
  #text = "";

  constructor(format: NodeFormat) {
    this.#picture = new NodePicture(format);
  }

  /** The card with these lines. It is drawn when they have changed. */
  with(lines: readonly string[]): NodePicture {
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
