// Measures the frame rate of a stream, for the frame interval that is set on the camera (S_PARM).

/** How long is measured. */
const SPAN_MS = 1000;
/** A rate that differs by less is not reported again. */
const CHANGE = 0.2;
/** Rates that cameras have. A second of a busy host measures one that is some percent off. */
const usual: readonly number[] = [5, 10, 15, 20, 24, 25, 30, 50, 60, 90, 120];
const NEAR = 0.08;

/** The rate of cameras next to one that was measured, or the measured one where none is near. */
export function usualRate(fps: number): number {
  const off = (rate: number) => Math.abs(rate - fps) / rate;
  const [nearest = 0] = [...usual].sort((a, b) => off(a) - off(b));
  if (off(nearest) <= NEAR) return nearest;
  return fps >= 5 ? Math.round(fps) : Math.max(0.1, Math.round(fps * 10) / 10);
}

export class RateMeter {
  #frames = 0;
  #firstMs = 0;
  #lastMs = 0;
  #reported: number | undefined;

  /** A stream begins. */
  restart(): void {
    this.#frames = 0;
  }

  frame(): void {
    this.#lastMs = performance.now();
    if (this.#frames === 0) this.#firstMs = this.#lastMs;
    this.#frames += 1;
  }

  /** Frames per second, when a span has been measured and the rate differs from the one that was reported last. */
  news(): number | undefined {
    const spanMs = this.#lastMs - this.#firstMs;
    if (this.#frames < 2 || spanMs < SPAN_MS) return undefined;
    const fps = ((this.#frames - 1) * 1000) / spanMs;
    this.#frames = 0;
    const rate = usualRate(fps);
    if (this.#reported !== undefined && Math.abs(rate - this.#reported) <= CHANGE * this.#reported)
      return undefined;
    this.#reported = rate;
    return rate;
  }
}
