// One receiver's view of a source that several receivers share: the same buffers, a queue of its own, a cap on the frames
// that it holds. A slow receiver loses its own frames only.
import { EPOLLIN } from "../../ffi/epoll.ts";
import type { Fd } from "../../ffi/fd.ts";
import { Frame } from "./frame.ts";
import type { Source, SourceWatch } from "./source.ts";

/** The shared source, as its branches see it. */
export interface Trunk {
  readonly source: Source;
  /** Why the source has ended; undefined while it works. */
  readonly failure: unknown;
  /** The branch wants frames from now on. Throws what starting the source throws. */
  join(): void;
  /** The branch wants no more frames. */
  leave(): void;
  /** A branch has given buffer `index` back. */
  release(index: number): void;
  /** Takes a frame from a source that makes one at each call, if all branches have room. */
  pull(): void;
  /** Calls the handlers of the branches that have frames, at the end of this turn of the loop. */
  ask(): void;
}

export class Branch implements Source {
  readonly frames: readonly Frame[];
  readonly name: string;
  readonly picture;
  readonly fps;
  readonly onDemand: boolean;
  readonly memory: string;
  readonly #trunk: Trunk;
  readonly #cap: number;
  /** A ring of the frames that wait, oldest first. */
  readonly #ring: (Frame | undefined)[];
  #oldest = 0;
  #waiting = 0;
  /** Frames that wait or are on loan. */
  #held = 0;
  #lost = 0;
  #fullMs = 0;
  #streaming = false;
  #handler: ((events: number) => void) | undefined;
  #events = 0;

  /** Holds at most `cap` frames of the trunk's source at a time. */
  constructor(trunk: Trunk, cap: number) {
    const { source } = trunk;
    this.#trunk = trunk;
    this.#cap = cap;
    this.name = source.name;
    this.picture = source.picture;
    this.fps = source.fps;
    this.onDemand = source.onDemand === true;
    this.memory = source.memory;
    const lender = { giveBack: (frame: Frame) => this.#giveBack(frame) };
    this.frames = source.frames.map(({ index, pieces }) => new Frame(index, pieces, lender));
    this.#ring = source.frames.map(() => undefined);
  }

  get fd(): number {
    return this.#trunk.source.fd;
  }

  /** Frames that the source lost, and frames that came while this branch held its most. */
  get drops(): number {
    return this.#trunk.source.drops + this.#lost;
  }

  get errors(): number {
    return this.#trunk.source.errors;
  }

  get exhausted(): boolean {
    return this.#waiting === 0 && this.#trunk.source.exhausted === true;
  }

  /** Whether it takes a frame without losing one. */
  get hasRoom(): boolean {
    return this.#held < this.#cap;
  }

  get streaming(): boolean {
    return this.#streaming;
  }

  /** Whether its handler has to be called. */
  get ready(): boolean {
    return (this.#events & EPOLLIN) !== 0 && (this.#waiting > 0 || this.exhausted);
  }

  /** Whether its handler waits for frames. */
  get wanting(): boolean {
    return (this.#events & EPOLLIN) !== 0;
  }

  /** For how long it has had no room, milliseconds, when it is asked for the first time: 0. */
  fullFor(nowMs: number): number {
    if (this.#fullMs === 0) this.#fullMs = nowMs;
    return nowMs - this.#fullMs;
  }

  /** Calls the handler of its watch. */
  call(events: number): void {
    this.#handler?.(events);
  }

  watch(handler: (events: number) => void): SourceWatch {
    this.#handler = handler;
    this.#events = 0;
    return {
      setEvents: (events) => {
        if (this.#handler !== handler) return;
        this.#events = events;
        if (this.ready || (this.onDemand && this.wanting)) this.#trunk.ask();
      },
      [Symbol.dispose]: () => {
        if (this.#handler !== handler) return;
        this.#handler = undefined;
        this.#events = 0;
      },
    };
  }

  share(index: number): Fd {
    return this.#trunk.source.share(index);
  }

  start(): void {
    if (this.#streaming) return;
    this.#trunk.join();
    this.#streaming = true;
  }

  stop(): void {
    if (!this.#streaming) return;
    this.#streaming = false;
    this.#trunk.leave(); // first: buffers are not queued again after the last branch has left
    for (let frame = this.#take(); frame !== undefined; frame = this.#take()) {
      frame[Symbol.dispose]();
    }
  }

  next(): Frame | undefined {
    this.urgent();
    if (!this.#streaming) return undefined;
    if (this.#waiting === 0 && this.onDemand) this.#trunk.pull();
    return this.#take();
  }

  urgent(): void {
    if (this.#trunk.failure !== undefined) throw this.#trunk.failure;
  }

  /**
   * Takes a new frame of the source and returns true. With its most in hand it gives the oldest waiting frame back for it,
   * or, if none waits, refuses the new one.
   */
  offer(of: Frame): boolean {
    if (!this.#streaming) return false;
    if (!this.hasRoom) {
      this.#lost += 1;
      const oldest = this.#take();
      if (oldest === undefined) return false;
      const fullMs = this.#fullMs;
      oldest[Symbol.dispose]();
      this.#fullMs = fullMs; // its receiver has taken nothing
    }
    const frame = this.frames[of.index];
    if (frame === undefined) throw new RangeError(`frame ${of.index} of ${this.frames.length}`);
    frame.bytesused = of.bytesused;
    frame.flags = of.flags;
    frame.sequence = of.sequence;
    frame.tsSec = of.tsSec;
    frame.tsUsec = of.tsUsec;
    this.#ring[(this.#oldest + this.#waiting) % this.#ring.length] = frame.lend();
    this.#waiting += 1;
    this.#held += 1;
    return true;
  }

  #take(): Frame | undefined {
    if (this.#waiting === 0) return undefined;
    const frame = this.#ring[this.#oldest];
    this.#oldest = (this.#oldest + 1) % this.#ring.length;
    this.#waiting -= 1;
    return frame;
  }

  #giveBack({ index }: Frame): void {
    this.#held -= 1;
    this.#fullMs = 0;
    this.#trunk.release(index);
  }

  [Symbol.dispose](): void {
    this.stop();
  }
}
