// The card that the window shows without a stream: a few lines in the middle of a dark background.
import { type Size, sdlRect } from "../../ffi/sdl2.ts";
import type { SdlWindow } from "../../ffi/sdl2-window.ts";
import { place } from "./placement.ts";
import { TextBlock } from "./text.ts";

/** Size of the window before the first stream. */
export const CARD_SIZE: Size = { width: 640, height: 480 };
export const CARD_GROUND = [24, 28, 36] as const;
const COLUMNS = 44;
const LINES = 5;

export class Card implements Disposable {
  readonly #block: TextBlock;
  readonly #rect = sdlRect.alloc();

  constructor(window: SdlWindow) {
    const [red, green, blue] = CARD_GROUND;
    const ground = ((0xff << 24) | (red << 16) | (green << 8) | blue) >>> 0;
    this.#block = new TextBlock(window, COLUMNS, LINES, ground);
  }

  /** Sets the lines. Each is centred. */
  set(lines: readonly string[]): void {
    this.#block.set(
      lines.map((line) => " ".repeat(Math.max(0, (COLUMNS - line.length) >> 1)) + line),
    );
  }

  /** Draws the card over the whole window. */
  draw(window: SdlWindow): void {
    const [red, green, blue] = CARD_GROUND;
    window.clear(red, green, blue);
    place(this.#rect, "integer", this.#block.size, window.size);
    this.#block.draw(window, this.#rect);
  }

  /** Makes the texture again, after the renderer has lost its device. */
  renew(window: SdlWindow): void {
    this.#block.renew(window);
  }

  [Symbol.dispose](): void {
    this.#block[Symbol.dispose]();
  }
}
