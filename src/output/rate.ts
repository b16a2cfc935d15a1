// The frame rate of a recording, from the times its frames were captured at.
import type { FrameFacts } from "../frame/frame.ts";

/** Rates that cameras have. */
const usual = [5, 10, 12.5, 15, 20, 24, 25, 30, 48, 50, 60, 90, 120];
/** How far a measured rate may be from a usual one. */
const TOLERANCE = 0.01;
/** A recording of this length tells 30 from 30000/1001: one frame time in ten seconds is less than half of 1/1001. */
const TELLS_NTSC_US = 10e6;

/** Frames per `scale` seconds. */
export interface FileRate {
  readonly frames: number;
  readonly scale: 1000 | 1001;
}

/** The usual rate that is within 1 % of `fps`; else `fps` in thousandths. `spanUs` is how long it was measured. */
export function fileRate(fps: number, spanUs: number): FileRate {
  const near = usual.find((rate) => Math.abs(fps - rate) <= TOLERANCE * rate + 1e-9);
  const milli = (rate: number) => Math.max(1, Math.min(99_999_999, Math.round(rate * 1000)));
  if (near === undefined) return { frames: milli(fps), scale: 1000 };
  const ntsc = near / 1.001;
  const closer = Math.abs(fps - ntsc) < Math.abs(fps - near);
  return { frames: milli(near), scale: closer && spanUs >= TELLS_NTSC_US ? 1001 : 1000 };
}

/** Adds up the time between frames, over the streams of one file. */
export class CaptureRate {
  spanUs = 0;
  #intervals = 0;
  #lastUs = 0;
  #known = true;

  /** Call at the start of a stream: no time has passed between two streams. */
  restart(): void {
    this.#lastUs = 0;
  }

  add({ ts_sec, ts_usec }: FrameFacts): void {
    const us = ts_sec * 1e6 + ts_usec;
    if (this.#lastUs > 0) {
      if (us <= this.#lastUs) this.#known = false;
      this.spanUs += us - this.#lastUs;
      this.#intervals += 1;
    }
    this.#lastUs = us;
  }

  /** Frames per second; undefined where the sender's times are not times, or of one frame only. */
  get fps(): number | undefined {
    if (!this.#known || this.#intervals === 0 || this.spanUs <= 0) return undefined;
    return (this.#intervals * 1e6) / this.spanUs;
  }
}
