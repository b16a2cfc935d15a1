// A source whose pictures are copied once into buffers that can be shared. For drivers that cannot write there, and for
// pictures that are not in one piece.

import { copyMemory } from "../../ffi/copy.ts";
import { Fd } from "../../ffi/fd.ts";
import { UnavailableError } from "../errors.ts";
import type { Picture } from "../format/picture-layout.ts";
import { Frame } from "../frame/frame.ts";
import { type Allocator, type FrameBuffer, WRITE } from "../frame/memory.ts";
import type { Source } from "../frame/source.ts";

export class CopyingSource implements Source {
  readonly name: string;
  readonly picture: Picture;
  readonly fps: number | undefined;
  readonly frames: readonly Frame[];
  readonly memory: string;
  readonly onDemand: boolean;
  readonly #inner: Source;
  readonly #buffers: readonly FrameBuffer[];
  readonly #owned = new DisposableStack();
  #dropped = 0;

  /** Takes ownership of `inner`. Throws UnavailableError or SysError. */
  constructor(inner: Source, allocator: Allocator) {
    using owned = new DisposableStack();
    owned.use(inner);
    const { sizeimage } = inner.picture;
    const buffers = inner.frames.map(() => owned.use(allocator.allocate(sizeimage)));
    this.#inner = inner;
    this.#buffers = buffers;
    this.name = inner.name;
    this.picture = inner.picture;
    this.onDemand = inner.onDemand === true;
    this.fps = inner.fps;
    this.memory = `${inner.memory} copied to ${allocator.name}`;
    const lender = { giveBack: () => undefined };
    this.frames = buffers.map(
      ({ mapping: { address, length } }, i) => new Frame(i, [{ address, length }], lender),
    );
    this.#owned.use(owned.move());
  }

  get fd(): number {
    return this.#inner.fd;
  }
  get exhausted(): boolean {
    return this.#inner.exhausted === true;
  }
  get drops(): number {
    return this.#inner.drops + this.#dropped;
  }
  get errors(): number {
    return this.#inner.errors;
  }

  start(): void {
    this.#inner.start();
  }
  stop(): void {
    this.#inner.stop();
  }

  urgent(): void {
    this.#inner.urgent?.();
  }

  next(): Frame | undefined {
    using from = this.#inner.next();
    if (from === undefined) return undefined;
    const to = this.frames.find((frame) => !frame.lent);
    if (to === undefined) {
      this.#dropped += 1;
      return undefined;
    }
    to.bytesused = this.#copy(from, to);
    to.flags = from.flags;
    to.sequence = from.sequence;
    to.tsSec = from.tsSec;
    to.tsUsec = from.tsUsec;
    return to.lend();
  }

  #copy(from: Frame, to: Frame): number {
    const buffer = this.#buffers[to.index];
    if (buffer === undefined) throw new RangeError(`no buffer ${to.index}`);
    buffer.begin(WRITE);
    let done = 0;
    for (const piece of from.pieces) {
      const length = Math.min(piece.length, from.bytesused - done, to.capacity - done);
      if (length <= 0) break;
      copyMemory(buffer.mapping.address + done, piece.address, length);
      done += length;
    }
    buffer.end(WRITE);
    return done;
  }

  /** A new descriptor of the copy's buffer. Throws UnavailableError if the memory has none. */
  share(index: number): Fd {
    const fd = this.#buffers[index]?.fd;
    if (fd === undefined) throw new UnavailableError(`${this.memory}: no descriptor of its own`);
    return Fd.duplicate(fd.number, fd.name);
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}
