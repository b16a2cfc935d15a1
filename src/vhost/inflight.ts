// The inflight region: which chains are in flight, in memory that the front-end keeps for the next back-end. Layout for
// split queues: vhost-user, "Inflight I/O tracking".
import { Fd } from "../../ffi/fd.ts";
import { SharedRegion } from "../../ffi/shared-region.ts";
import { n64, struct, u8, u16 } from "../../ffi/struct.ts";
import type { InflightLog } from "../virtio/split-queue.ts";
import { RequestRefused } from "./request-refused.ts";

/** Head of the part of one queue; the entries follow. */
export const queueRegionSplit = struct("struct queue_region_split", 16, {
  version: u16(8),
  desc_num: u16(10),
  last_batch_head: u16(12),
  used_idx: u16(14),
});
export const descStateSplit = struct("struct desc_state_split", 16, {
  inflight: u8(0),
  next: u16(6),
  counter: n64(8),
});

const partSize = (queueSize: number) =>
  Math.ceil((queueRegionSplit.size + descStateSplit.size * queueSize) / 64) * 64;

export class InflightRegion implements Disposable {
  readonly queues: number;
  readonly queueSize: number;
  readonly length: number;
  readonly #region: SharedRegion;

  /** Maps a region of `queues` parts for `queueSize` entries each; owns `fd` once it has succeeded. Throws UnfitFile, SysError, RequestRefused. */
  constructor(fd: Fd, offset: number, length: number, queues: number, queueSize: number) {
    if (length < queues * partSize(queueSize)) {
      throw new RequestRefused(
        `${length} bytes are too few to track ${queues} queues of ${queueSize}`,
      );
    }
    this.#region = new SharedRegion(fd, offset, length);
    this.length = length;
    this.queues = queues;
    this.queueSize = queueSize;
  }

  /** Makes an empty region for the front-end. Throws SysError. */
  static create(queues: number, queueSize: number): { fd: Fd; length: number } {
    const length = queues * partSize(queueSize);
    return { fd: Fd.memory("vhost-user inflight", length), length };
  }

  /** The part of one queue. */
  queue(index: number): QueueInflight {
    const length = partSize(this.queueSize);
    return new QueueInflight(this.#region.view(index * length, length), this.queueSize);
  }

  [Symbol.dispose](): void {
    this.#region[Symbol.dispose]();
  }
}

/** The part of one queue. The front-end may write to it at any time: everything read from it is checked. */
export class QueueInflight implements InflightLog {
  readonly #view: DataView<ArrayBuffer>;
  readonly #size: number;
  #counter = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>, size: number) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#size = size;
  }

  /**
   * The heads that an earlier back-end left in flight, oldest first. Chains of its last batch that were published but not yet
   * cleared are cleared first. `usedIndex` is that of the ring. A new region is initialized and has none.
   */
  recover(usedIndex: number): number[] {
    const view = this.#view;
    if (view.getUint16(8, true) === 0) {
      view.setUint16(8, 1, true);
      view.setUint16(10, this.#size, true);
      view.setUint16(14, usedIndex, true);
      return [];
    }
    if (view.getUint16(14, true) !== usedIndex) {
      // The last batch was published but not yet cleared.
      const last = view.getUint16(12, true);
      if (last < this.#size) view.setUint8(entry(last), 0);
      view.setUint16(14, usedIndex, true);
    }
    const left: { head: number; counter: number }[] = [];
    for (let head = 0; head < this.#size; head++) {
      if (view.getUint8(entry(head)) !== 1) continue;
      const counter = Number(view.getBigUint64(entry(head) + 8, true));
      left.push({ head, counter });
      this.#counter = Math.max(this.#counter, counter + 1);
    }
    if (!Number.isSafeInteger(this.#counter)) this.#counter = 0;
    return left.sort((a, b) => a.counter - b.counter).map(({ head }) => head);
  }

  taken(head: number): void {
    if (head >= this.#size) return;
    this.#view.setBigUint64(entry(head) + 8, BigInt(this.#counter++), true);
    this.#view.setUint8(entry(head), 1);
  }

  completing(head: number): void {
    if (head >= this.#size) return;
    this.#view.setUint16(entry(head) + 6, this.#view.getUint16(12, true), true);
    this.#view.setUint16(12, head, true);
  }

  completed(head: number, usedIndex: number): void {
    if (head >= this.#size) return;
    this.#view.setUint8(entry(head), 0);
    this.#view.setUint16(14, usedIndex, true);
  }
}

const entry = (head: number) => queueRegionSplit.size + descStateSplit.size * head;
