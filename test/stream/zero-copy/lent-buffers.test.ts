import { expect, test } from "bun:test";
import fc from "fast-check";
import { ProtocolError } from "../../../src/errors.ts";
import { Frame } from "../../../src/frame/frame.ts";
import { FRAME_MAGIC } from "../../../src/stream/hello.ts";
import { lentText, overdueText } from "../../../src/stream/zero-copy/lend-counts.ts";
import { LentBuffers } from "../../../src/stream/zero-copy/lent-buffers.ts";
import { wordsOf, zcAck } from "../../../src/stream/zero-copy/messages.ts";

const lender = { giveBack: () => undefined };
const frame = (index: number, sequence: number) => {
  const made = new Frame(index, [{ address: 4096, length: 1 }], lender);
  made.sequence = sequence;
  return made.lend();
};
const noCounts = () => ({ overdue: 0 });
const ack = (id: bigint, sequence: number) => {
  const message = zcAck.alloc();
  message.magic = FRAME_MAGIC;
  const { high, low } = wordsOf(id);
  message.handle_high = high;
  message.handle_low = low;
  message.sequence = sequence;
  return message;
};

test("acknowledgements in any order return each frame once, in 20,000 cases", () => {
  const orders = fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6], { minLength: 1 });
  const property = fc.property(orders, fc.bigInt(0n, 2n ** 64n - 8n), (order, first) => {
    const ids = [0, 1, 2, 3, 4, 5, 6].map((i) => first + BigInt(i));
    const lent = new LentBuffers(ids, 9, noCounts());
    const frames = ids.map((_, i) => frame(i, 100 + i));
    for (const each of frames) lent.lend(each, 0);
    for (const [n, i] of order.entries()) {
      expect(lent.settle(ack(ids[i] ?? 0n, 100 + i), 0)).toBe(frames[i]);
      expect(lent.count).toBe(7 - n - 1);
      expect(() => lent.settle(ack(ids[i] ?? 0n, 100 + i), 0)).toThrow(ProtocolError);
    }
  });
  fc.assert(property, { numRuns: 20_000 });
});

test("a buffer stays lent until an acknowledgement has its handle and its sequence number", () => {
  const lent = new LentBuffers([7n, 8n], 9, noCounts());
  lent.lend(frame(0, 5), 0);
  expect(() => lent.settle(ack(7n, 4), 0)).toThrow("handle 7 with sequence 4 is not lent, 5 is");
  expect(() => lent.settle(ack(8n, 5), 0)).toThrow(
    "handle 8 with sequence 5 is not lent, nothing is",
  );
  expect(() => lent.settle(ack(9n, 5), 0)).toThrow("handle 9 is none of this stream");
  expect(lent.count).toBe(1);
});

test("an acknowledgement of a buffer that was taken back is late, and does not return the next frame in that buffer", () => {
  const lent = new LentBuffers([7n, 8n], 9, noCounts());
  const first = frame(0, 5);
  lent.lend(first, 0);
  lent.lend(frame(1, 6), 50);
  expect(lent.markOverdue(10)).toBe(1);
  expect(lent.takeBack()).toBe(first);
  expect(lent.takeBack()).toBeUndefined();
  expect(lent.count).toBe(1);
  const again = frame(0, 9);
  lent.lend(again, 60);
  expect(lent.settle(ack(7n, 5), 0)).toBeUndefined(); // late, not sequence 9
  expect(lent.count).toBe(2);
  expect(lent.settle(ack(7n, 9), 0)).toBe(again);
});

test("a buffer is reported overdue once", () => {
  const counts = noCounts();
  const lent = new LentBuffers([7n], 9, counts);
  lent.lend(frame(0, 5), 0);
  expect([lent.markOverdue(9), lent.markOverdue(10), lent.markOverdue(20)]).toEqual([0, 1, 0]);
  expect(lent.settle(ack(7n, 5), 30)).toBeDefined();
  expect(counts.overdue).toBe(1);
});

test("a frame that comes back too late between two checks is counted", () => {
  const counts = noCounts();
  const lent = new LentBuffers([7n], 9, counts);
  for (const [sequence, backMs] of [9, 10, 11].entries()) {
    lent.lend(frame(0, sequence), 0);
    lent.settle(ack(7n, sequence), backMs);
  }
  expect(counts.overdue).toBe(2);
});

test("a wrong magic is refused", () => {
  const lent = new LentBuffers([7n], 9, noCounts());
  const message = ack(7n, 1);
  message.magic = 1;
  expect(() => lent.settle(message, 0)).toThrow("ack: magic is 0x00000001");
});

test("the warning about late acknowledgements says what happens to the buffers, in the singular, too", () => {
  expect(overdueText(1, 200, false)).toBe(
    "1 frame was not acknowledged in 200 ms; such buffers stay lent",
  );
  expect(overdueText(3, 200, true)).toBe(
    "3 frames were not acknowledged in 200 ms; such buffers are queued again",
  );
});

test("the summary says how many frames the receiver could not use", () => {
  const counts = { returned: 20, refused: 0, overdue: 1, late: 0, lost: 0 };
  expect(lentText(counts, 200)).toBe("20 frames were returned, 1 took longer than 200 ms");
  expect(lentText(counts, 0)).toBe("20 frames were returned");
  expect(lentText({ ...counts, lost: 3 }, 0)).toBe(
    "20 frames were returned, 3 lost with the connection",
  );
  expect(lentText({ ...counts, refused: 3 }, 200)).toBe(
    "20 frames were returned, 3 of them with an error of the receiver, 1 took longer than 200 ms",
  );
});
