// Which buffers the receiver holds. A buffer is lent with a handle and a sequence number, and comes home when an
// acknowledgement names both, in whatever order.
import { ProtocolError } from "../../errors.ts";
import type { Frame } from "../../frame/frame.ts";
import { checkAck, idOf, wordsOf, type ZcAck } from "./messages.ts";

interface Slot {
  readonly high: number;
  readonly low: number;
  frame: Frame | undefined;
  sequence: number;
  lentMs: number;
  overdue: boolean;
  /** The last sequence number that was taken back without an acknowledgement. */
  takenBack: number;
}

export class LentBuffers {
  readonly #slots: readonly Slot[];
  #count = 0;

  /** Buffers by the numbers of their handles. */
  constructor(ids: readonly bigint[]) {
    this.#slots = ids.map((id) => ({
      ...wordsOf(id),
      frame: undefined,
      sequence: -1,
      lentMs: 0,
      overdue: false,
      takenBack: -1,
    }));
  }

  /** How many are lent now. */
  get count(): number {
    return this.#count;
  }

  /** `frame` goes out. */
  lend(frame: Frame, nowMs: number): void {
    const slot = this.#slots[frame.index];
    if (slot === undefined || slot.frame !== undefined) {
      throw new Error(`buffer ${frame.index} cannot be lent`);
    }
    slot.frame = frame;
    slot.sequence = frame.sequence;
    slot.lentMs = nowMs;
    slot.overdue = false;
    this.#count += 1;
  }

  /**
   * The frame that `ack` brings home, still lent by its source; undefined when it was taken back before.
   * Throws ProtocolError for an acknowledgement of what was never lent, or came home already.
   */
  settle(ack: ZcAck): Frame | undefined {
    checkAck(ack);
    const { handle_high: high, handle_low: low, sequence } = ack;
    const slot = this.#find(high, low);
    if (slot === undefined) {
      throw new ProtocolError(`ack: handle ${idOf(high, low)} is none of this stream`);
    }
    const { frame } = slot;
    if (frame !== undefined && slot.sequence === sequence) {
      slot.frame = undefined;
      this.#count -= 1;
      return frame;
    }
    if (sequence <= slot.takenBack) return undefined;
    throw new ProtocolError(
      `ack: handle ${idOf(high, low)} with sequence ${sequence} is not lent, ${frame === undefined ? "nothing" : slot.sequence} is`,
    );
  }

  #find(high: number, low: number): Slot | undefined {
    for (let i = 0; i < this.#slots.length; i++) {
      const slot = this.#slots[i];
      if (slot?.low === low && slot.high === high) return slot;
    }
    return undefined;
  }

  /** Marks buffers lent before `beforeMs`; how many had not been marked yet. */
  markOverdue(beforeMs: number): number {
    let found = 0;
    for (const slot of this.#slots) {
      if (slot.frame === undefined || slot.overdue || slot.lentMs > beforeMs) continue;
      slot.overdue = true;
      found += 1;
    }
    return found;
  }

  /** Takes a marked buffer back; an acknowledgement of it that comes later is known as late. Undefined: there is none. */
  takeBack(): Frame | undefined {
    for (const slot of this.#slots) {
      const { frame } = slot;
      if (frame === undefined || !slot.overdue) continue;
      slot.frame = undefined;
      slot.takenBack = slot.sequence;
      this.#count -= 1;
      return frame;
    }
    return undefined;
  }

  /** Takes any buffer back, because nobody can hold it any more. Undefined: there is none. */
  takeAny(): Frame | undefined {
    for (const slot of this.#slots) {
      const { frame } = slot;
      if (frame === undefined) continue;
      slot.frame = undefined;
      this.#count -= 1;
      return frame;
    }
    return undefined;
  }
}
