// Which buffers the receiver holds. A buffer is lent with a handle and a sequence number, and returned by an acknowledgement
// with both. Buffers may be returned in any order.
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
  /** The last sequence number for which the buffer was taken back without an acknowledgement. */
  takenBack: number;
}

export class LentBuffers {
  readonly #slots: readonly Slot[];
  readonly #limitMs: number;
  readonly #counts: { overdue: number };
  #count = 0;

  /**
   * `ids` are the handles' numbers, in the order of the buffers. A frame that is lent longer than `limitMs` is counted once in
   * `counts.overdue`.
   */
  constructor(ids: readonly bigint[], limitMs: number, counts: { overdue: number }) {
    this.#limitMs = limitMs;
    this.#counts = counts;
    this.#slots = ids.map((id) => ({
      ...wordsOf(id),
      frame: undefined,
      sequence: -1,
      lentMs: 0,
      overdue: false,
      takenBack: -1,
    }));
  }

  /** How many buffers are lent. */
  get count(): number {
    return this.#count;
  }

  /** The frames that are lent. */
  get frames(): readonly Frame[] {
    return this.#slots.flatMap(({ frame }) => frame ?? []);
  }

  /** Marks the buffer of `frame` as lent. */
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
   * The frame that `ack` returns at `nowMs`; the caller disposes it. Undefined when it was taken back before.
   * Throws ProtocolError for a frame that is not lent.
   */
  settle(ack: ZcAck, nowMs: number): Frame | undefined {
    checkAck(ack);
    const { handle_high: high, handle_low: low, sequence } = ack;
    const slot = this.#find(high, low);
    if (slot === undefined) {
      throw new ProtocolError(`ack: handle ${idOf(high, low)} is none of this stream`);
    }
    const { frame } = slot;
    if (frame !== undefined && slot.sequence === sequence) {
      if (!slot.overdue && this.#isOverdue(slot, nowMs)) this.#counts.overdue += 1;
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

  /** Marks the buffers that are overdue at `nowMs`. Returns how many are newly marked. */
  markOverdue(nowMs: number): number {
    let found = 0;
    for (const slot of this.#slots) {
      if (slot.frame === undefined || slot.overdue || !this.#isOverdue(slot, nowMs)) continue;
      slot.overdue = true;
      found += 1;
    }
    this.#counts.overdue += found;
    return found;
  }

  #isOverdue({ lentMs }: Slot, nowMs: number): boolean {
    return nowMs - lentMs > this.#limitMs;
  }

  /** Takes an overdue buffer back; `settle` accepts its late acknowledgement. Undefined when none is overdue. */
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

  /** Takes any lent buffer back, after the connection has ended. Undefined when none is lent. */
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
