// Frames into buffers of our own, then to whoever wants them: a stamp check, a file.
import type { Gather } from "../../ffi/gather.ts";
import type { Mapping } from "../../ffi/mapping.ts";
import { ProtocolError } from "../errors.ts";
import { STAMP_BYTES, type StampChecker, StampedBuffer } from "../format/stamp.ts";
import { type Allocator, type FrameBuffer, READ, WRITE } from "../memory.ts";
import type { Output } from "../output/file.ts";
import type { FrameHeader, StreamInfo } from "./messages.ts";
import type { Target, Waiting } from "./target.ts";

export interface MemoryTargetOptions {
  readonly allocator: Allocator;
  readonly output?: Output | undefined;
  readonly checker?: StampChecker | undefined;
  /** Shown each complete frame; the memory may be read during the call only. */
  readonly watch?: ((memory: Mapping, header: FrameHeader) => void) | undefined;
}

interface Slot {
  readonly buffer: FrameBuffer;
  readonly gather: Gather | undefined;
  readonly stamp: StampedBuffer | undefined;
}

/** `buffer_count` buffers of `sizeimage` bytes, as the sender has; each is made when a frame first needs it. */
export class MemoryTarget implements Target {
  readonly #stream: StreamInfo;
  readonly #options: MemoryTargetOptions;
  readonly #waiting: Waiting;
  readonly #slots: (Slot | undefined)[];
  readonly #owned = new DisposableStack();
  #current: Slot | undefined;

  constructor(stream: StreamInfo, options: MemoryTargetOptions, waiting: Waiting) {
    this.#stream = stream;
    this.#options = options;
    this.#waiting = waiting;
    this.#slots = new Array(stream.bufferCount).fill(undefined);
    options.output?.begin(stream);
    options.checker?.restart();
  }

  begin(header: FrameHeader): number {
    const index = header.index % this.#stream.bufferCount;
    let slot = this.#slots[index];
    if (slot === undefined) {
      slot = this.#makeSlot();
      this.#slots[index] = slot;
    }
    this.#current = slot;
    slot.buffer.begin(WRITE);
    return slot.buffer.mapping.address;
  }

  #makeSlot(): Slot {
    const { allocator, output, checker } = this.#options;
    const buffer = this.#owned.use(allocator.allocate(this.#stream.sizeimage));
    const { address, length, bytes } = buffer.mapping;
    const stamped = checker !== undefined && length > STAMP_BYTES;
    return {
      buffer,
      gather: output?.gatherFor({ address, length }),
      stamp: stamped ? new StampedBuffer(bytes) : undefined,
    };
  }

  complete(header: FrameHeader): boolean {
    const slot = this.#current;
    if (slot === undefined) throw new Error("a frame ended that never began");
    const { checker, output, watch } = this.#options;
    slot.buffer.end(WRITE);
    slot.buffer.begin(READ);
    if (checker !== undefined) {
      const wrong =
        slot.stamp === undefined
          ? "wrong: no room for a stamp"
          : checker.check(slot.stamp, header.bytesused, header.sequence);
      if (wrong !== undefined) {
        throw new ProtocolError(
          `--verify: frame ${checker.verified + 1}, sequence ${header.sequence}, is ${wrong}; ${checker.verified} before it are right`,
        );
      }
    }
    watch?.(slot.buffer.mapping, header);
    if (output === undefined || slot.gather === undefined) return this.#done(slot);
    const written = output.write(
      slot.gather,
      header.bytesused,
      () => {
        this.#done(slot);
        this.#waiting.ready();
      },
      this.#waiting.failed,
    );
    return written ? this.#done(slot) : false;
  }

  #done(slot: Slot): true {
    slot.buffer.end(READ);
    this.#current = undefined;
    return true;
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}
