// The source that the built-in source and recordings are made of: when a frame is due, and what its stamp says.
import { expect, test } from "bun:test";
import { monotonicUs } from "../../ffi/clock.ts";
import { EPOLLIN, Epoll } from "../../ffi/epoll.ts";
import { PacedSource } from "../../src/capture/paced.ts";
import { fourcc } from "../../src/format/formats.ts";

const INTERVAL_MS = 20;
const picture = { width: 16, height: 1, pixelformat: fourcc("GREY"), sizeimage: 16 };

function openSource(buffers = 4) {
  return new PacedSource({
    name: "test",
    picture,
    buffers,
    fps: 1000 / INTERVAL_MS,
    prepare: () => () => 16,
  });
}

/** Waits for the descriptor of a source, `limitMs` at most; answers whether it is readable. */
function readable(source: PacedSource, limitMs: number): boolean {
  using epoll = new Epoll();
  epoll.add(source.fd, EPOLLIN, 0);
  const untilMs = performance.now() + limitMs;
  do if (epoll.wait(Math.max(0, untilMs - performance.now())) > 0) return true;
  while (performance.now() < untilMs); // a signal has ended the wait
  return false;
}

/** The next frame, whose number and capture time are taken before it is given back. */
function take(source: PacedSource) {
  if (!readable(source, 10_000)) throw new Error("no frame came");
  using frame = source.next();
  if (frame === undefined) throw new Error("readable, but without a frame");
  return { sequence: frame.sequence, us: frame.tsSec * 1e6 + frame.tsUsec };
}

test("a frame is stamped with the time it was due, however late it is asked for", () => {
  using source = openSource();
  const beforeUs = monotonicUs();
  source.start();
  const afterUs = monotonicUs();
  const first = take(source);
  expect(first.us).toBeWithin(beforeUs, afterUs + 1);
  for (let i = 0; i < 6; i++) {
    if (i === 2) Bun.sleepSync(INTERVAL_MS / 2); // late, but not by a whole frame
    const { sequence, us } = take(source);
    expect(us - first.us).toBe(sequence * INTERVAL_MS * 1000);
    expect(us).toBeLessThanOrEqual(monotonicUs());
  }
});

test("the descriptor is readable while another frame waits, so that one late turn delays no later frame", () => {
  using source = openSource();
  source.start();
  take(source);
  Bun.sleepSync(3 * INTERVAL_MS + INTERVAL_MS / 2);
  // No time to wait: the frames are there.
  for (let i = 1; i <= 3; i++) {
    expect(readable(source, 0)).toBe(true);
    using frame = source.next();
    expect(frame).toBeDefined();
  }
});

test("frames for which there was no buffer are counted as drops, and numbers go on after them", () => {
  using source = openSource(2);
  source.start();
  const { us: firstUs } = take(source);
  Bun.sleepSync(5 * INTERVAL_MS + INTERVAL_MS / 2);
  const { sequence, us } = take(source);
  expect(source.drops).toBeGreaterThanOrEqual(3);
  expect(sequence).toBe(source.drops + 1);
  expect(us - firstUs).toBe(sequence * INTERVAL_MS * 1000);
});

test("a frame that waited for a buffer is there as soon as one is returned", () => {
  using source = openSource(1);
  source.start();
  if (!readable(source, 10_000)) throw new Error("no frame came");
  const held = source.next();
  Bun.sleepSync(2 * INTERVAL_MS);
  expect(source.next()).toBeUndefined();
  held?.[Symbol.dispose]();
  using frame = source.next();
  expect(frame?.sequence).toBe(1 + source.drops);
});
