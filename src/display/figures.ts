// The figures in the picture (--hud): frame rate, drops, latency, updated once a second.
import { sdlRect } from "../../ffi/sdl2.ts";
import type { SdlWindow } from "../../ffi/sdl2-window.ts";
import type { Histogram } from "../cli/histogram.ts";
import type { ShownCounts } from "./showing.ts";
import { TextBlock } from "./text.ts";

const COLUMNS = 40;
const GROUND = 0xb000_0000; // translucent black
const CORNER = 8;

/** The rate of a counter. */
export class Rate {
  #lastMs = performance.now();
  #last = 0;

  /** Counts per second since the last call. */
  perSecond(count: number): number {
    const nowMs = performance.now();
    const rate = ((count - this.#last) * 1000) / Math.max(1, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    this.#last = count;
    return rate;
  }
}

export class Figures implements Disposable {
  readonly #block: TextBlock;
  readonly #rect = sdlRect.alloc();

  constructor(window: SdlWindow) {
    this.#block = new TextBlock(window, COLUMNS, 2, GROUND);
  }

  /** Sets new figures: frames shown per second, and how many were not shown. */
  set(fps: number, counts: ShownCounts, latency: Histogram): void {
    const p50 = latency.percentileMs(50);
    const late = p50 === undefined ? "" : `, latency ${p50.toFixed(1)} ms`;
    const dropped = counts.passed + counts.damaged;
    this.#block.set([
      `${fps.toFixed(1)} fps${late}`,
      `${counts.shown} shown, ${dropped} passed, ${counts.lost} lost`,
    ]);
  }

  /** Draws the figures in the upper left corner, larger in larger windows. */
  draw(window: SdlWindow): void {
    const { width, height } = this.#block.size;
    const scale = Math.max(1, Math.round(window.size.width / 640));
    this.#rect.x = CORNER;
    this.#rect.y = CORNER;
    this.#rect.w = width * scale;
    this.#rect.h = height * scale;
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
