// A split queue over plain memory, at its exact limits: VIRTIO 1.2, 2.7.
import { expect, test } from "bun:test";
import { BadChain } from "../../src/virtio/chain.ts";
import { areas, VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT } from "../../src/virtio/ring-layout.ts";
import { SplitQueue } from "../../src/virtio/split-queue.ts";

const SIZE = 8;
const bytes = (length: number) => new Uint8Array(new ArrayBuffer(length));

/** A driver's view of a queue, and 64 KiB of guest memory from address 0 on. */
function queueOf(size: number, options: { eventIdx?: boolean; at?: number } = {}) {
  const { eventIdx = true, at = 0 } = options;
  const rings = {
    descriptors: bytes(areas.descriptors.bytes(size)),
    available: bytes(areas.available.bytes(size)),
    used: bytes(areas.used.bytes(size)),
  };
  const guest = new DataView(new ArrayBuffer(1 << 16));
  const memory = {
    contains: (address: number, length: number) => address + length <= guest.byteLength,
    read(address: number, length: number, to: Uint8Array<ArrayBuffer>, offset: number) {
      to.set(new Uint8Array(guest.buffer, address, length), offset);
      return true;
    },
    write: () => true,
  };
  const available = new DataView(rings.available.buffer);
  const descriptors = new DataView(rings.descriptors.buffer);
  available.setUint16(2, at, true);
  new DataView(rings.used.buffer).setUint16(2, at, true);
  const queue = new SplitQueue(rings, memory, at, { size, indirect: true, eventIdx });
  let next = at;
  return {
    queue,
    guest,
    descriptors,
    setUsedEvent: (index: number) => available.setUint16(4 + 2 * size, index & 0xffff, true),
    offer(head: number) {
      available.setUint16(4 + 2 * (next % size), head, true);
      next = (next + 1) & 0xffff;
      available.setUint16(2, next, true);
    },
  };
}

/** Returns `count` chains of one descriptor each and says whether the driver wants to know. */
function returned({ queue, offer }: ReturnType<typeof queueOf>, count: number): boolean {
  for (let head = 0; head < count; head++) offer(head);
  for (let head = 0; head < count; head++) {
    expect(queue.pop()).toMatchObject({ head });
    queue.push(head, 0);
  }
  return queue.wantsNotice();
}

// 2.7.7.2: notify exactly when the used index goes from used_event to used_event + 1.
test.each([
  { old: 100, event: -2, notice: false },
  { old: 100, event: -1, notice: false }, // the driver knew this one already
  { old: 100, event: 0, notice: true },
  { old: 100, event: 1, notice: true },
  { old: 100, event: 2, notice: true },
  { old: 100, event: 3, notice: false },
  { old: 0, event: -1, notice: false },
  { old: 65_535, event: -1, notice: false },
  { old: 65_535, event: 0, notice: true },
  { old: 65_534, event: 2, notice: true },
  { old: 65_534, event: 3, notice: false },
])(
  "EVENT_IDX: after three chains from index $old, used_event $event from there gives $notice",
  ({ old, event, notice }) => {
    const driver = queueOf(SIZE, { at: (old - 1) & 0xffff });
    expect(returned(driver, 1)).toBe(true); // the first one always notifies
    driver.setUsedEvent(old + event);
    expect(returned(driver, 3)).toBe(notice);
    expect(driver.queue.wantsNotice()).toBe(false);
  },
);

/** Descriptors of one readable byte each, at `from` of `table`, chained in order. */
function chained(table: DataView<ArrayBuffer>, from: number, count: number): void {
  for (let i = 0; i < count; i++) {
    const at = from + 16 * i;
    table.setBigUint64(at, BigInt(i), true);
    table.setUint32(at + 8, 1, true);
    table.setUint16(at + 12, i + 1 < count ? VIRTQ_DESC_F_NEXT : 0, true);
    table.setUint16(at + 14, i + 1 < count ? i + 1 : 0, true);
  }
}

test.each([1, 2, SIZE, 1024])(
  "a ring of %d entries takes a chain of exactly as many descriptors, and refuses one of one more",
  (size) => {
    const { queue, descriptors, offer } = queueOf(size);
    chained(descriptors, 0, size);
    offer(0);
    expect(queue.pop()).toMatchObject({ head: 0, bytes: { length: size } });
    queue.push(0, 0);
    // One more descriptor can only be one that was there before.
    descriptors.setUint16(16 * (size - 1) + 12, VIRTQ_DESC_F_NEXT, true);
    offer(0);
    const chain = queue.pop();
    expect(chain).toBeInstanceOf(BadChain);
    expect((chain as BadChain).message).toBe("a loop");
  },
);

test.each([
  { size: SIZE, most: 1024 },
  { size: 2048, most: 2048 },
])(
  "a ring of $size entries takes an indirect table of $most descriptors, and refuses one of one more",
  ({ size, most }) => {
    const { queue, guest, descriptors, offer } = queueOf(size);
    chained(guest, 0, most);
    descriptors.setUint16(12, VIRTQ_DESC_F_INDIRECT, true);
    descriptors.setUint32(8, 16 * most, true);
    offer(0);
    expect(queue.pop()).toMatchObject({ head: 0, bytes: { length: most } });
    queue.push(0, 0);
    descriptors.setUint32(8, 16 * (most + 1), true);
    offer(0);
    const chain = queue.pop();
    expect(chain).toBeInstanceOf(BadChain);
    expect((chain as BadChain).message).toBe(`an indirect table of ${16 * (most + 1)} bytes`);
  },
);
