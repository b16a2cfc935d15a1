// A block of text as a texture, for the figures in the picture and the card between streams.

import { addressOf } from "../../ffi/libc.ts";
import { type Rect, SDL_PIXELFORMAT_ARGB8888, type Size } from "../../ffi/sdl2.ts";
import { SdlTexture } from "../../ffi/sdl2-texture.ts";
import type { SdlWindow } from "../../ffi/sdl2-window.ts";
import { GLYPH_HEIGHT, GLYPH_WIDTH, glyphOf } from "../format/font.ts";

const MARGIN = 3;
const ADVANCE = GLYPH_WIDTH + 1;
const LINE = GLYPH_HEIGHT + 3;

/** `columns` x `lines` characters, white on a background colour (0xAARRGGBB). */
export class TextBlock implements Disposable {
  readonly size: Size;
  #texture: SdlTexture;
  readonly #pixels: Uint32Array<ArrayBuffer>;
  readonly #planes: readonly { readonly address: number; readonly pitch: number }[];
  readonly #ground: number;
  #text = "";

  constructor(window: SdlWindow, columns: number, lines: number, ground: number) {
    const width = columns * ADVANCE + 2 * MARGIN;
    const height = lines * LINE + 2 * MARGIN;
    this.size = { width, height };
    this.#ground = ground;
    this.#pixels = new Uint32Array(new ArrayBuffer(width * height * 4)).fill(ground);
    this.#planes = [{ address: addressOf(this.#pixels), pitch: width * 4 }];
    this.#texture = new SdlTexture(window, SDL_PIXELFORMAT_ARGB8888, this.size).overlay();
    this.#texture.update(this.#planes);
  }

  /** Sets the text. What does not fit in the block is cut off. */
  set(lines: readonly string[]): void {
    const text = lines.join("\n");
    if (text === this.#text) return;
    this.#text = text;
    this.#pixels.fill(this.#ground);
    for (const [line, words] of lines.entries()) {
      for (const [column, character] of [...words].entries())
        this.#print(character, MARGIN + column * ADVANCE, MARGIN + line * LINE);
    }
    this.#texture.update(this.#planes);
  }

  /** Makes the texture again, after the renderer has lost its device. */
  renew(window: SdlWindow): void {
    this.#texture[Symbol.dispose]();
    this.#texture = new SdlTexture(window, SDL_PIXELFORMAT_ARGB8888, this.size).overlay();
    this.#texture.update(this.#planes);
  }

  #print(character: string, left: number, top: number): void {
    const { width, height } = this.size;
    if (left + GLYPH_WIDTH > width || top + GLYPH_HEIGHT > height) return;
    const ink = glyphOf(character);
    for (let y = 0; y < GLYPH_HEIGHT; y++) {
      for (let x = 0; x < GLYPH_WIDTH; x++)
        if (ink(x, y)) this.#pixels[(top + y) * width + left + x] = 0xffff_ffff;
    }
  }

  /** Draws the block into `to`. */
  draw(window: SdlWindow, to: Rect): void {
    window.draw(this.#texture, to);
  }

  [Symbol.dispose](): void {
    this.#texture[Symbol.dispose]();
  }
}
