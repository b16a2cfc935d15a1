// One source for several receivers, without connections: who holds which buffer, who loses a frame, when the source runs.
import { expect, test } from "bun:test";
import { EPOLLIN, EPOLLPRI, Signal } from "../../ffi/epoll.ts";
import { PacedSource } from "../../src/capture/paced.ts";
import { SourceEnded } from "../../src/errors.ts";
import { fourcc } from "../../src/format/formats.ts";
import type { Branch } from "../../src/frame/branch.ts";
import { Frame } from "../../src/frame/frame.ts";
import type { Source } from "../../src/frame/source.ts";
import type { Loop } from "../../src/loop.ts";
import { Fanout } from "../../src/stream/fanout.ts";
import { onLoop } from "../support/loop.ts";

const never = new AbortController().signal;

/** A camera of which each frame is made by hand. */
class HandSource implements Source {
  readonly name = "hand";
  readonly picture = { width: 2, height: 1, pixelformat: fourcc("YUYV"), sizeimage: 4 };
  readonly fps = undefined;
  readonly memory = "none";
  readonly drops = 0;
  readonly errors = 0;
  readonly waits: boolean;
  readonly frames: readonly Frame[];
  readonly returned: number[] = [];
  running = false;
  starts = 0;
  exhausted = false;
  fault: Error | undefined;
  /** One signal for all frames that are due, as of a timer. */
  once = false;
  readonly #signal = new Signal();
  #due = 0;
  #sequence = 0;

  constructor(buffers: number, waits = false) {
    this.waits = waits;
    const lender = { giveBack: ({ index }: Frame) => void this.returned.push(index) };
    this.frames = Array.from({ length: buffers }, (_, i) => new Frame(i, [], lender));
  }
  get fd(): number {
    return this.#signal.fd;
  }
  /** Makes `count` frames, or wakes who watches. */
  make(count: number): void {
    this.#due += count;
    this.#signal.raise();
  }
  next(): Frame | undefined {
    if (this.fault !== undefined) throw this.fault;
    if (this.once) this.#signal.clear();
    if (this.#due === 0) {
      if (!this.exhausted) this.#signal.clear();
      return undefined;
    }
    const frame = this.frames.find(({ lent }) => !lent);
    if (frame === undefined) throw new Error("the source has no buffer left");
    this.#due -= 1;
    frame.sequence = this.#sequence++;
    return frame.lend();
  }
  start(): void {
    this.running = true;
    this.starts += 1;
  }
  stop(): void {
    this.running = false;
  }
  share(): never {
    throw new Error("not shared");
  }
  [Symbol.dispose](): void {
    this.#signal[Symbol.dispose]();
  }
}

/** A receiver that notes what it gets, and holds it or gives it back at once. */
class Taker {
  readonly held: Frame[] = [];
  readonly seen: number[] = [];
  readonly errors: unknown[] = [];
  readonly branch: Branch;
  readonly watch;
  ended = false;

  constructor(branch: Branch, keeps = false) {
    this.branch = branch;
    branch.start();
    this.watch = branch.watch((events) => {
      try {
        if ((events & EPOLLPRI) !== 0) branch.urgent();
        const frame = branch.next();
        this.ended ||= frame === undefined && branch.exhausted;
        if (frame === undefined) return;
        this.seen.push(frame.sequence);
        if (keeps) this.held.push(frame);
        else frame[Symbol.dispose]();
      } catch (error) {
        this.errors.push(error);
      }
    });
    this.watch.setEvents(EPOLLIN | EPOLLPRI);
  }
  leave(): void {
    this.watch[Symbol.dispose]();
    for (const frame of this.held.splice(0)) frame[Symbol.dispose]();
    this.branch.stop();
  }
}

/** Runs `task` with a fan-out of a hand-made source of 8 buffers to three branches, which hold at most 2 frames each. */
async function withThree(
  task: (run: {
    source: HandSource;
    branches: readonly [Branch, Branch, Branch];
    loop: Loop;
    settle: () => Promise<void>;
  }) => Promise<void>,
  waits = false,
): Promise<void> {
  await onLoop(async (loop) => {
    using source = new HandSource(8, waits);
    using fanout = new Fanout(loop, source, 3);
    const [a, b, c] = fanout.branches;
    if (!a || !b || !c) throw new Error("three branches");
    const settle = () => loop.sleep(30, never);
    await task({ source, branches: [a, b, c], loop, settle });
  });
}

test("a buffer returns to the source when the last of its holders has given it back, and not before", async () => {
  await withThree(async ({ source, branches, settle }) => {
    const takers = branches.map((branch) => new Taker(branch, true));
    source.make(1);
    await settle();
    expect(takers.map(({ seen }) => seen)).toEqual([[0], [0], [0]]);
    for (const { held } of takers) {
      expect(source.returned).toEqual([]);
      held[0]?.[Symbol.dispose]();
      held[0]?.[Symbol.dispose](); // twice counts once
    }
    expect(source.returned).toEqual([0]);
    for (const taker of takers) taker.leave();
  });
});

test("a receiver that gives nothing back holds its share of the buffers, and loses only its own frames", async () => {
  await withThree(async ({ source, branches, settle }) => {
    const [slow, ...others] = branches.map((branch, i) => new Taker(branch, i === 0));
    for (let n = 0; n < 50; n++) {
      source.make(1);
      await settle();
    }
    const all = Array.from({ length: 50 }, (_, i) => i);
    for (const { seen, branch } of others) {
      expect(seen).toEqual(all);
      expect(branch.drops).toBe(0);
    }
    expect(slow?.seen).toEqual([0, 1]);
    expect(slow?.branch.drops).toBe(48);
    expect(source.frames.filter(({ lent }) => lent).length).toBe(2);
    slow?.leave();
    expect(source.frames.filter(({ lent }) => lent).length).toBe(0);
    for (const taker of others) taker.leave();
  });
});

test("a receiver that does not ask for a while finds the newest frames, and the older ones are counted", async () => {
  await withThree(async ({ source, branches, settle }) => {
    const [late, other] = branches.slice(0, 2).map((branch) => new Taker(branch));
    late?.watch.setEvents(EPOLLPRI);
    source.make(5);
    await settle();
    expect(other?.seen).toEqual([0, 1, 2, 3, 4]);
    expect(late?.branch.drops).toBe(3);
    late?.watch.setEvents(EPOLLIN);
    await settle();
    expect(late?.seen).toEqual([3, 4]);
    late?.leave();
    other?.leave();
  });
});

test("frames that one signal stands for are all sent, although the source signals no more for them", async () => {
  await withThree(async ({ source, branches: [a, b], settle }) => {
    source.once = true;
    const takers = [new Taker(a), new Taker(b)];
    for (const due of [3, 1, 1]) {
      source.make(due);
      await settle();
    }
    for (const taker of takers) {
      expect(taker.seen).toEqual([0, 1, 2, 3, 4]);
      expect(taker.branch.drops).toBe(0);
      taker.leave();
    }
  });
});

test("the source streams while at least one receiver does", async () => {
  await withThree(async ({ source, branches: [a, b], settle }) => {
    expect(source.running).toBe(false);
    const [one, two] = [new Taker(a), new Taker(b)];
    expect(source.starts).toBe(1);
    one.leave();
    expect(source.running).toBe(true);
    source.make(1);
    await settle();
    expect([one.seen, two.seen]).toEqual([[], [0]]);
    two.leave();
    expect(source.running).toBe(false);
    const again = new Taker(a);
    expect(source.starts).toBe(2);
    source.make(1);
    await settle();
    expect(again.seen).toEqual([1]);
    again.leave();
  });
});

test("an error of the source reaches every receiver, also one that waits for its peer", async () => {
  await withThree(async ({ source, branches, settle }) => {
    const takers = branches.map((branch) => new Taker(branch));
    takers[1]?.watch.setEvents(0);
    source.fault = new SourceEnded("hand: unplugged", true);
    source.make(1);
    await settle();
    for (const { errors } of takers) expect(errors).toEqual([source.fault]);
    for (const taker of takers) taker.leave();
    expect(() => branches[0].start()).toThrow("hand: unplugged");
    expect(source.running).toBe(false);
  });
});

test("a recording ends for each receiver after its last picture", async () => {
  await withThree(async ({ source, branches: [a, b], settle }) => {
    const [ready, late] = [new Taker(a), new Taker(b)];
    late.watch.setEvents(0);
    source.exhausted = true;
    source.make(2);
    await settle();
    expect([ready.seen, ready.ended]).toEqual([[0, 1], true]);
    expect(late.ended).toBe(false);
    late.watch.setEvents(EPOLLIN);
    await settle();
    expect([late.seen, late.ended]).toEqual([[0, 1], true]);
    ready.leave();
    late.leave();
  });
});

test("a source that may wait does so until all have room, 200 ms for one that takes nothing", async () => {
  await withThree(async ({ source, branches: [a, b], loop, settle }) => {
    const [ready, late] = [new Taker(a), new Taker(b)];
    late.watch.setEvents(0);
    source.make(20);
    await settle();
    expect(ready.seen).toEqual([0, 1]);
    late.watch.setEvents(EPOLLIN);
    while (late.seen.length < 20 || ready.seen.length < 20) await loop.sleep(5, never);
    expect(late.seen).toEqual(ready.seen);
    expect(ready.seen.length).toBe(20);
    expect([a.drops, b.drops]).toEqual([0, 0]);
    late.watch.setEvents(0);
    source.make(20);
    await loop.sleep(600, never);
    expect(ready.seen.length).toBe(40);
    expect(b.drops).toBe(18);
    ready.leave();
    late.leave();
  }, true);
});

test("a source that always has a frame goes at the pace of the slowest receiver, and none is lost", async () => {
  await onLoop(async (loop) => {
    const picture = { width: 2, height: 1, pixelformat: fourcc("YUYV"), sizeimage: 4 };
    const prepare = () => () => 4;
    using source = new PacedSource({ name: "fast", picture, buffers: 5, fps: 0, prepare });
    using fanout = new Fanout(loop, source, 2);
    const [a, b] = fanout.branches;
    if (!a || !b) throw new Error("two branches");
    const [fast, slow] = [new Taker(a), new Taker(b, true)];
    for (let n = 0; n < 20; n++) {
      await loop.sleep(5, never);
      for (const frame of slow.held.splice(0)) frame[Symbol.dispose]();
    }
    expect(slow.seen.length).toBeGreaterThanOrEqual(20);
    expect(slow.seen).toEqual(slow.seen.map((_, i) => i));
    expect(fast.seen).toEqual(fast.seen.map((_, i) => i));
    expect([a.drops, b.drops]).toEqual([0, 0]);
    fast.leave();
    slow.leave();
  });
});

test("too few buffers for the receivers are refused, with the number that is enough", async () => {
  await onLoop(async (loop) => {
    using source = new HandSource(3);
    expect(() => new Fanout(loop, source, 3)).toThrow(
      "hand has 3 buffers, 3 receivers need 4 or more: --buffers 7 for example",
    );
  });
});
