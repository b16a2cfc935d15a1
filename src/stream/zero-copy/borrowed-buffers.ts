// The sender's buffers as the receiver knows them: by the number of their handle, and which frame in them is held.
import { ProtocolError } from "../../errors.ts";
import type { StreamInfo } from "../../frame/frame.ts";
import type { FrameBuffer } from "../../frame/memory.ts";
import type { Handle } from "../../frame/sharing.ts";
import { idOf, wordsOf, type ZcFrame } from "./messages.ts";

interface Borrowed {
  readonly high: number;
  readonly low: number;
  /** Most bytes of a frame. */
  readonly most: number;
  /** An output holds a frame that was in this buffer, with this sequence. */
  held: boolean;
  sequenceHigh: number;
  sequenceLow: number;
}

export class BorrowedBuffers implements Disposable {
  /** The mapped buffers, in the order of their handles. */
  readonly mapped: FrameBuffer[] = [];
  /** Frames that are held. */
  heldCount = 0;
  readonly #buffers: Borrowed[] = [];
  readonly #ids = new Set<bigint>();
  readonly #owned = new DisposableStack();

  /** Throws ProtocolError when the stream has a buffer of that handle already. */
  checkNew({ id }: Handle): void {
    if (this.#ids.has(id)) throw new ProtocolError(`handle: handle_id ${id} came twice`);
    this.#ids.add(id);
  }

  /** Takes ownership of the mapped buffer of a handle. */
  add(handle: Handle, stream: StreamInfo, buffer: FrameBuffer): void {
    this.mapped.push(this.#owned.use(buffer));
    const most = Math.min(buffer.mapping.length, stream.sizeimage);
    const frame = { held: false, sequenceHigh: 0, sequenceLow: 0 };
    this.#buffers.push({ ...wordsOf(handle.id), most, ...frame });
  }

  /** Index of the buffer a frame is in. Throws ProtocolError. */
  find({ handle_high: high, handle_low: low, bytesused }: ZcFrame): number {
    for (let i = 0; i < this.#buffers.length; i++) {
      const buffer = this.#buffers[i];
      if (buffer?.low !== low || buffer.high !== high) continue;
      if (bytesused <= buffer.most) return i;
      throw new ProtocolError(
        `frame: bytesused is ${bytesused}, buffer ${idOf(high, low)} has ${buffer.most}`,
      );
    }
    throw new ProtocolError(`frame: handle_id ${idOf(high, low)} is none of this stream`);
  }

  /** Notes that `frame`, in buffer `index`, is held. Call `release` first for one that was held before. */
  hold(index: number, frame: ZcFrame): void {
    const buffer = this.#buffers[index];
    if (buffer === undefined) return;
    this.heldCount += 1;
    buffer.held = true;
    buffer.sequenceHigh = frame.sequence_high;
    buffer.sequenceLow = frame.sequence_low;
  }

  /** The frame that was held in buffer `index` is free: writes what names it into `frame`. False when none was held. */
  release(index: number, frame: Released): boolean {
    const buffer = this.#buffers[index];
    if (buffer === undefined || !buffer.held) return false;
    buffer.held = false;
    this.heldCount -= 1;
    frame.handle_high = buffer.high;
    frame.handle_low = buffer.low;
    frame.sequence_high = buffer.sequenceHigh;
    frame.sequence_low = buffer.sequenceLow;
    return true;
  }

  /** Owns what is disposed before the buffers are unmapped. */
  use<T extends Disposable>(value: T): T {
    return this.#owned.use(value);
  }

  /** Unmaps the buffers. */
  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

/** What names a frame in an acknowledgement. */
interface Released {
  handle_high: number;
  handle_low: number;
  sequence_high: number;
  sequence_low: number;
}
