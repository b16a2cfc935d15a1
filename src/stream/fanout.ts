// One source for several receivers. Each has a Branch over the same buffers; a buffer returns to the source when the last
// branch has given it back. The source streams while at least one branch does.
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLPRI } from "../../ffi/epoll.ts";
import { SourceEnded, UsageError } from "../errors.ts";
import { Branch, type Trunk } from "../frame/branch.ts";
import type { Frame } from "../frame/frame.ts";
import type { Source } from "../frame/source.ts";
import type { Deferred, Loop, Watch } from "../loop.ts";

/** A source that may wait does so this long for a receiver that takes nothing. Then that receiver loses frames. */
const PATIENCE_MS = 200;
/** Frames taken each time the source is ready. Two, so that a delay is made up for, and receivers have time to return them. */
const FRAMES_A_SIGNAL = 2;

export class Fanout implements Trunk, Disposable {
  readonly source: Source;
  readonly branches: readonly Branch[];
  readonly #loop: Loop;
  /** How many branches hold each buffer. */
  readonly #uses: number[];
  readonly #deferred: Deferred;
  /** The source can wait until all receivers have room. */
  readonly #patient: boolean;
  #watched: DisposableStack | undefined;
  #watch: Watch | undefined;
  /** The source is not watched for frames, because a receiver has no room. */
  #paused = false;
  #streaming = 0;
  #failure: unknown;

  /** `source` stays the caller's. Throws UsageError when it has too few buffers. */
  constructor(loop: Loop, source: Source, receivers: number) {
    const { length } = source.frames;
    const cap = Math.floor((length - 1) / receivers);
    if (cap < 1) {
      throw new UsageError(
        `${source.name} has ${length} buffers, ${receivers} receivers need ${receivers + 1} or more: --buffers ${2 * receivers + 1} for example`,
      );
    }
    this.#loop = loop;
    this.source = source;
    this.#patient = source.onDemand === true || source.waits === true;
    this.#uses = source.frames.map(() => 0);
    this.branches = Array.from({ length: receivers }, () => new Branch(this, cap));
    this.#deferred = loop.deferred(() => this.#dispatch());
  }

  get failure(): unknown {
    return this.#failure;
  }

  /** Whether a branch streams. */
  get streaming(): boolean {
    return this.#streaming > 0;
  }

  join(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#streaming === 0) {
      this.source.start();
      this.#watchSource();
    }
    this.#streaming += 1;
  }

  #watchSource(): void {
    const owned = new DisposableStack();
    this.#watched = owned;
    this.#paused = false;
    // A frame of a source that always has one is taken when a receiver asks for it.
    this.#watch =
      this.source.onDemand === true
        ? undefined
        : owned.use(
            this.#loop.watch(this.source.fd, EPOLLIN | EPOLLPRI, (events) =>
              this.#onSource(events),
            ),
          );
    // It ends the wait for a receiver that takes nothing.
    if (this.#patient) owned.use(this.#loop.every(PATIENCE_MS, () => this.#dispatch()));
  }

  leave(): void {
    this.#streaming -= 1;
    if (this.#streaming > 0) {
      if (this.#patient) this.ask();
      return;
    }
    this.#watched?.dispose();
    this.#watched = this.#watch = undefined;
    this.source.stop();
  }

  release(index: number): void {
    const uses = (this.#uses[index] ?? 0) - 1;
    this.#uses[index] = uses;
    if (uses === 0) this.source.frames[index]?.[Symbol.dispose]();
    if (this.#patient) this.ask();
  }

  ask(): void {
    this.#deferred.ask();
  }

  pull(): void {
    if (!this.#mayPull()) return;
    try {
      const frame = this.source.next();
      if (frame !== undefined) this.#share(frame);
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  /** Whether every receiver has room for a frame, or had none for so long that it loses one. */
  #mayPull(): boolean {
    for (let i = 0; i < this.branches.length; i++) {
      const branch = this.branches[i];
      if (branch?.streaming !== true || branch.hasRoom) continue;
      if (branch.fullFor(performance.now()) < PATIENCE_MS) return false;
    }
    return true;
  }

  #onSource(events: number): void {
    if (this.#patient && !this.#mayPull()) {
      this.#paused = true;
      this.#watch?.setEvents(0);
      return;
    }
    try {
      if ((events & EPOLLPRI) !== 0) this.source.urgent?.();
      const frame = this.source.next();
      if (frame !== undefined) this.#shareDue(frame);
      else if (this.source.exhausted === true) this.#watch?.setEvents(0);
      else if ((events & (EPOLLERR | EPOLLHUP)) === 0) return;
      else
        throw new SourceEnded(
          `poll ${this.source.name}: the device reports an error (POLLERR)`,
          true,
        );
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#dispatch();
  }

  /** Shares `first`, and what is due besides: a source with a timer signals once for all frames of a late wake-up. */
  #shareDue(first: Frame): void {
    this.#share(first);
    for (let taken = 1; taken < FRAMES_A_SIGNAL; taken++) {
      this.#dispatch();
      if (this.#watched === undefined || (this.#patient && !this.#mayPull())) return;
      const frame = this.source.next();
      if (frame === undefined) return;
      this.#share(frame);
    }
  }

  #share(frame: Frame): void {
    let uses = 0;
    for (let i = 0; i < this.branches.length; i++) {
      if (this.branches[i]?.offer(frame) === true) uses += 1;
    }
    this.#uses[frame.index] = uses;
    if (uses === 0) frame[Symbol.dispose]();
  }

  /** Ends the source for all branches: each handler is called and gets the error from its branch. */
  #fail(error: unknown): void {
    this.#failure = error;
    this.#watch?.setEvents(0);
    for (const branch of this.branches) if (branch.streaming) branch.call(EPOLLPRI);
  }

  #dispatch(): void {
    if (this.#paused && this.#mayPull()) {
      this.#paused = false;
      this.#watch?.setEvents(EPOLLIN | EPOLLPRI);
    }
    for (let i = 0; i < this.branches.length; i++) {
      const branch = this.branches[i];
      if (branch === undefined) continue;
      if (branch.onDemand && branch.wanting) branch.call(EPOLLIN);
      for (let most = branch.frames.length; branch.ready && most > 0; most--) branch.call(EPOLLIN);
    }
  }

  [Symbol.dispose](): void {
    this.#watched?.dispose();
    this.#deferred[Symbol.dispose]();
  }
}
