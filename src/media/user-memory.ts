// A buffer in memory of the guest's program (V4L2_MEMORY_USERPTR), given as a scatter list of guest physical addresses. Each range is
// checked when the buffer is queued, and again when it is filled after the memory table has changed.
import { copyMemory } from "../../ffi/copy.ts";
import { GuestRanges, measure, memEntry } from "../virtio/guest-ranges.ts";
import type { GuestMemory } from "../virtio/virtio-device.ts";
import { check, MediaError } from "./media-error.ts";

/** Entries of one list: 16 MiB in pages of 4 KiB. The Linux driver sends at most 1000. */
export const MAX_ENTRIES = 4096;

export class UserMemory {
  /** v4l2_buffer.m.userptr: an address in the guest's program, which only the guest understands. */
  readonly userptr: number;
  readonly length: number;
  readonly #ranges: GuestRanges;
  #generation: number;

  /** Reads the list that follows the v4l2_buffer. Throws MediaError. */
  constructor(userptr: number, length: number, list: Uint8Array<ArrayBuffer>, memory: GuestMemory) {
    const count = list.length / memEntry.size;
    check(Number.isInteger(count) && count > 0, "the scatter list is missing or cut off");
    check(count <= MAX_ENTRIES, `more than ${MAX_ENTRIES} entries in the scatter list`);
    const view = new DataView(list.buffer, list.byteOffset, list.byteLength);
    const measured = measure(view, 0, [count]);
    if (typeof measured === "string") throw new MediaError("EINVAL", measured);
    this.#ranges = new GuestRanges(view, 0, count, measured);
    this.userptr = userptr;
    this.length = length;
    this.#generation = memory.generation;
    if (this.#ranges.length < length || !this.#ranges.resolve(memory)) {
      this.#ranges.drop();
      throw new MediaError(
        "EINVAL",
        "the scatter list is shorter than the buffer, or not in guest memory",
      );
    }
  }

  /** Looks the ranges up again if the memory table has changed. False when they are not in guest memory any more. */
  present(memory: GuestMemory): boolean {
    if (memory.generation === this.#generation) return this.#ranges.pieces > 0;
    this.#generation = memory.generation;
    return this.#ranges.resolve(memory);
  }

  /** Copies `length` bytes of host memory to byte `at` of the buffer. Call `present` before. */
  write(at: number, from: number, length: number): void {
    const ranges = this.#ranges;
    const end = Math.min(length, this.length - at);
    let done = 0;
    for (let i = at === 0 ? 0 : ranges.find(at); done < end; i++) {
      const within = at + done - ranges.start(i);
      const n = Math.min(end - done, ranges.start(i + 1) - ranges.start(i) - within);
      copyMemory(ranges.address(i) + within, from + done, n);
      done += n;
    }
  }

  /** Frees the tables: a guest may queue other lists without end. */
  drop(): void {
    this.#ranges.drop();
  }
}
