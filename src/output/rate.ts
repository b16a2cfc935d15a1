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

/** A file with fewer of the camera's frames than this plays at the rate at which it got them. */
const ENOUGH_FRAMES = 0.75;

/**
 * The rate of the cameras, over the streams of one file: the slope of the capture times over the sequence numbers (least
 * squares), so that a late or lost frame hardly changes it.
 */
export class CaptureRate {
  /** Time from the first frame of each stream to its last. */
  spanUs = 0;
  #known = true;
  #intervals = 0;
  #numbers = 0;
  /** Sums over the streams that have ended, about their means. */
  #xx = 0;
  #xy = 0;
  #firstUs = 0;
  #firstNumber = 0;
  // Sums over the current stream, from its first frame on: x is the sequence number, y the time.
  #n = 0;
  #sumX = 0;
  #sumY = 0;
  #sumXx = 0;
  #sumXy = 0;
  #lastX = 0;
  #lastY = 0;

  /** Call at the start of a stream: no time has passed between two streams. */
  restart(): void {
    if (this.#n > 1) {
      this.#xx += this.#sumXx - (this.#sumX * this.#sumX) / this.#n;
      this.#xy += this.#sumXy - (this.#sumX * this.#sumY) / this.#n;
      this.#intervals += this.#n - 1;
      this.#numbers += this.#lastX;
      this.spanUs += this.#lastY;
    }
    this.#n = 0;
    this.#sumX = 0;
    this.#sumY = 0;
    this.#sumXx = 0;
    this.#sumXy = 0;
    this.#lastX = 0;
    this.#lastY = 0;
  }

  add({ ts_sec, ts_usec, sequence }: FrameFacts): void {
    const us = ts_sec * 1e6 + ts_usec;
    if (this.#n === 0) {
      this.#firstUs = us;
      this.#firstNumber = sequence;
    }
    const x = sequence - this.#firstNumber;
    const y = us - this.#firstUs;
    if (this.#n > 0 && (x <= this.#lastX || y <= this.#lastY)) this.#known = false;
    this.#n += 1;
    this.#sumX += x;
    this.#sumY += y;
    this.#sumXx += x * x;
    this.#sumXy += x * y;
    this.#lastX = x;
    this.#lastY = y;
  }

  /** Frames per second; undefined where the sender's times and numbers do not grow, or of one frame only. */
  get fps(): number | undefined {
    this.restart();
    if (!this.#known || this.#intervals === 0 || this.#xy <= 0) return undefined;
    const enough = this.#intervals >= ENOUGH_FRAMES * this.#numbers;
    return 1e6 * (enough ? this.#xx / this.#xy : this.#intervals / this.spanUs);
  }
}
