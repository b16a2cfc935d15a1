// How long streams have run, at which rate, and how much is left: waiting for a peer does not count.

export class StreamTime {
  #streaming = false;
  #sinceMs = 0;
  /** Of the streams that have ended. */
  #endedMs = 0;
  /** Between the first and the last frame of each stream; and how many streams had a frame. */
  #framesMs = 0;
  #streams = 0;
  #firstFrameMs = 0;
  #lastFrameMs = 0;

  /** Whether a stream runs now. */
  get streaming(): boolean {
    return this.#streaming;
  }

  set streaming(on: boolean) {
    if (on === this.#streaming) return;
    const nowMs = performance.now();
    this.#streaming = on;
    if (on) this.#sinceMs = nowMs;
    else this.#endedMs += nowMs - this.#sinceMs;
    this.#framesMs += this.#lastFrameMs - this.#firstFrameMs;
    this.#firstFrameMs = this.#lastFrameMs = 0;
  }

  /** Seconds with a stream. */
  get seconds(): number {
    const nowMs = this.#streaming ? performance.now() - this.#sinceMs : 0;
    return (this.#endedMs + nowMs) / 1000;
  }

  /** A frame has come. */
  frame(): void {
    this.#lastFrameMs = performance.now();
    if (this.#firstFrameMs !== 0) return;
    this.#firstFrameMs = this.#lastFrameMs;
    this.#streams += 1;
  }

  /** Average rate of the first `frames` frames of this stream, of which the last has just come. */
  streamFps(frames: number): number {
    return ((frames - 1) * 1000) / (this.#lastFrameMs - this.#firstFrameMs);
  }

  /** Average rate of `frames` frames in all streams, each from its first frame to its last; 0 if it is not known. */
  fps(frames: number): number {
    const seconds = (this.#framesMs + this.#lastFrameMs - this.#firstFrameMs) / 1000;
    return seconds > 0 ? Math.max(0, frames - this.#streams) / seconds : 0; // frames may be taken back
  }
}

const BAR = 10;

/** The parts of a progress line: a bar with total and per cent, and the time left. */
export function progress(done: number, total: number, fps: number): string[] {
  const part = Math.min(1, done / total);
  const marks = Math.floor(BAR * part);
  const bar = `[${"#".repeat(marks)}${".".repeat(BAR - marks)}]`;
  const parts = [`${bar} ${done}/${total} ${Math.floor(100 * part)} %`];
  if (fps > 0) parts.push(`${durationText(Math.ceil((total - done) / fps))} left`);
  return parts;
}

/** "45 s", "2:05 min", "3:20:00 h". */
function durationText(seconds: number): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const [s, m, h] = [seconds % 60, Math.floor(seconds / 60) % 60, Math.floor(seconds / 3600)];
  if (h > 0) return `${h}:${two(m)}:${two(s)} h`;
  return m > 0 ? `${m}:${two(s)} min` : `${s} s`;
}
