// The figures that one side of a bench measures and prints as JSON at its end.

/** One side's figures, without its start. */
export interface Side {
  readonly frames: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly rssMib: number;
  readonly heapGrowth: number;
}

export class Meter {
  /** Counting starts after so many frames, when all code is compiled and all buffers exist. */
  readonly #warmUp: number;
  #seen = 0;
  #startedMs = 0;
  #cpuBefore = process.cpuUsage();
  #heapBefore = 0;

  /** A run of so many frames, without the first `warmUp`. */
  constructor(frames: number, warmUp = Math.ceil(frames / 10)) {
    this.#warmUp = warmUp;
  }

  /** Called for each frame. */
  count(): void {
    this.#seen += 1;
    if (this.#seen !== this.#warmUp) return;
    this.#heapBefore = heapBytes();
    this.#cpuBefore = process.cpuUsage();
    this.#startedMs = performance.now();
  }

  /** Called after the last frame; `more` is printed as well. */
  report(more: Readonly<Record<string, number>> = {}): void {
    const seconds = (performance.now() - this.#startedMs) / 1000;
    const { user, system } = process.cpuUsage(this.#cpuBefore);
    const side: Side = {
      frames: this.#seen - this.#warmUp,
      seconds,
      cpuSeconds: (user + system) / 1e6,
      rssMib: Math.round(process.resourceUsage().maxRSS / 1024),
      heapGrowth: heapBytes() - this.#heapBefore,
    };
    console.log(JSON.stringify({ ...side, ...more }));
  }
}

function heapBytes(): number {
  Bun.gc(true);
  return process.memoryUsage().heapUsed;
}
