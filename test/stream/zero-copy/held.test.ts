// Frames that an output holds for longer than the call that takes them: when each is acknowledged, and what a sender's end does.
import { expect, test } from "bun:test";
import type { Taken } from "../../../src/frame/stream-output.ts";
import { importDescriptors } from "../../../src/share/fd.ts";
import type { Waiting } from "../../../src/stream/connection.ts";
import { type BorrowOptions, borrowFrames } from "../../../src/stream/zero-copy/borrow.ts";
import { noCounts } from "../../../src/stream/zero-copy/lend-counts.ts";
import { leftBehind, nothing } from "../../support/resources.ts";
import { lend, never, onLoop, sharedTestSource } from "../../support/streams.ts";

type Take = (index: number, sequence: number, waiting: Waiting) => Taken;

/** Borrows frames, which `take` reads. */
function borrowHolding({ loop, socket }: Pick<BorrowOptions, "loop" | "socket">, take: Take) {
  return borrowFrames({
    ...{ loop, socket, signal: never, maxFrame: 1 << 20, stallMs: 2000 },
    importers: [importDescriptors()],
    openView: (_stream, _buffers, waiting) => ({
      take: (index, { sequence }) => take(index, sequence, waiting),
      [Symbol.dispose]: () => undefined,
    }),
    started: () => undefined,
    taken: () => true,
  }).finally(() => socket.close());
}

test("an output holds two frames at a time, and gives them back in any order: each comes back to the sender", async () => {
  const left = await leftBehind("memfd:framepass", () =>
    onLoop(async (loop, near, far) => {
      using shared = sharedTestSource({ buffers: 5 });
      const counts = noCounts();
      const held: number[] = [];
      let frames = 0;
      let mostHeld = 0;
      const take: Take = (index, _sequence, waiting) => {
        expect(held).not.toContain(index);
        frames += 1;
        held.push(index);
        mostHeld = Math.max(mostHeld, held.length);
        const giveBack = (at: number) => waiting.returned(held.splice(at, 1)[0] ?? -1);
        if (held.length > 2) giveBack(frames % 2);
        // As a screen does that shows the last frame for a while.
        if (frames === 500) loop.after(50, () => [0, 0].forEach(giveBack));
        return "held";
      };
      const reading = borrowHolding({ loop, socket: far }, take);
      expect(await lend(loop, near, shared, { frames: 500, counts })).toBe("done");
      expect(await reading).toBe("closed");
      expect([frames, mostHeld]).toEqual([500, 3]);
      expect(counts).toEqual({ returned: 500, refused: 0, overdue: 0, late: 0, lost: 0 });
    }),
  );
  expect(left).toEqual(nothing);
});

test("a frame in a buffer whose earlier frame is still held acknowledges both, whatever the output does with it", () =>
  onLoop(async (loop, near, far) => {
    using shared = sharedTestSource({ buffers: 4 });
    const counts = noCounts();
    const held = new Set<number>();
    let repeated = 0;
    const take: Take = (index) => {
      if (!held.has(index)) {
        held.add(index);
        return "held";
      }
      repeated += 1;
      if (repeated % 2 === 0) return "held";
      held.delete(index); // as an output does that copies the frame, and has given back the one before
      return "taken";
    };
    const reading = borrowHolding({ loop, socket: far }, take);
    const lending = { frames: 16, ackTimeoutMs: 200, requeue: true, counts };
    expect(await lend(loop, near, shared, lending)).toBe("done");
    near.close();
    expect(await reading).toBe("closed");
    expect(counts.returned + counts.overdue).toBe(16);
    expect(repeated).toBeGreaterThan(4);
    // On a machine that stands still the sender may end before the last ones arrive, at most one for each buffer.
    expect(counts.late).toBeWithin(repeated - 4, repeated + 1);
    expect(counts.late).toBeGreaterThan(0);
  }));

test("a sender that leaves while an output holds its frames ends the stream, and a late return does nothing", () =>
  onLoop(async (loop, near, far) => {
    using shared = sharedTestSource({ buffers: 4 });
    const late: (() => void)[] = [];
    const reading = borrowHolding({ loop, socket: far }, (index, _sequence, waiting) => {
      late.push(() => waiting.returned(index));
      return "held";
    });
    const counts = noCounts();
    await lend(loop, near, shared, { frames: 3, counts }); // it waits for its frames in vain
    near.close();
    expect(await reading).toBe("closed");
    expect([late.length, counts.returned]).toEqual([3, 0]);
    for (const giveBack of late) giveBack();
  }));
