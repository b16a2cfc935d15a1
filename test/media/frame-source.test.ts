// Sources of frames behind the device: opened at the first STREAMON, closed some time after the last STREAMOFF, tried again when they
// fail. The guest's stream goes on with a stand-by picture.
import { expect, test } from "bun:test";
import { EPOLLIN } from "../../ffi/epoll.ts";
import { openTestSource } from "../../src/capture/testsrc.ts";
import { SourceEnded, UnavailableError } from "../../src/errors.ts";
import { fourccName } from "../../src/format/formats.ts";
import type { Source } from "../../src/frame/source.ts";
import { Loop } from "../../src/loop.ts";
import { FrameSource, LINGER_MS } from "../../src/media/frame-source.ts";
import { madeOffers } from "../../src/media/made-offers.ts";
import type { ShownFrame, Viewer } from "../../src/media/media-source.ts";
import { firstMode, type Interval, type Mode } from "../../src/media/offers.ts";

const offers = madeOffers(["YUYV"], [[64, 48]], [100]);
const mode = firstMode(offers);
const interval: Interval = { numerator: 1, denominator: 100 };

const testSource = ({ width, height, pixelformat }: Mode, { numerator, denominator }: Interval) =>
  openTestSource("testsrc", {
    width,
    height,
    format: fourccName(pixelformat),
    fps: denominator / numerator,
    buffers: 3,
  });

class Watcher implements Viewer {
  readonly frames: number[] = [];
  readonly lines: string[][] = [];
  begins = 0;
  begin(): void {
    this.begins += 1;
  }
  show({ bytesused }: ShownFrame): void {
    this.frames.push(bytesused);
  }
  lost(lines: readonly string[]): void {
    this.lines.push([...lines]);
  }
}

/** Runs the loop until `holds`. */
async function until(loop: Loop, holds: () => boolean, limitMs = 8000): Promise<void> {
  const task = loop.promise<void>();
  const endMs = performance.now() + limitMs;
  using _timer = loop.every(5, () => {
    if (holds()) task.resolve();
    else if (performance.now() > endMs) task.reject(new Error("waited in vain"));
  });
  await loop.run(task.promise);
}

/** The built-in source, and how often it was opened. The caller disposes it. */
function countedSource(): { source: FrameSource; opens: { count: number } } {
  const opens = { count: 0 };
  const source = new FrameSource({
    name: "testsrc",
    offers,
    open: (...of) => {
      opens.count += 1;
      return testSource(...of);
    },
  });
  return { source, opens };
}

test("the source is opened at the start, not before, and frames arrive", async () => {
  using loop = new Loop();
  const { source: counted, opens } = countedSource();
  using source = counted;
  const watcher = new Watcher();
  source.start(loop, mode, interval, watcher);
  expect(opens.count).toBe(0); // STREAMON is answered first
  await until(loop, () => watcher.frames.length >= 10);
  expect(watcher.frames.every((bytes) => bytes === mode.sizeimage)).toBe(true);
  expect([opens.count, watcher.begins]).toEqual([1, 1]);
});

test("a stream that starts again soon finds the source open; later it is closed", async () => {
  using loop = new Loop();
  const { source: counted, opens } = countedSource();
  using source = counted;
  const first = new Watcher();
  source.start(loop, mode, interval, first);
  await until(loop, () => first.frames.length > 0);
  source.stop();
  const { length } = first.frames;
  expect(source.isOpen).toBe(true);
  const second = new Watcher();
  source.start(loop, mode, interval, second);
  await until(loop, () => second.frames.length > 0);
  expect([opens.count, first.frames.length]).toEqual([1, length]);
  source.stop();
  const stoppedMs = performance.now();
  await until(loop, () => !source.isOpen);
  expect(performance.now() - stoppedMs).toBeGreaterThan(LINGER_MS - 10);
});

test("a picture that an open source has before it is announced is not shown", () => {
  const later: (() => void)[] = [];
  const none = { [Symbol.dispose]: () => undefined };
  const loop = {
    after(_ms: number, what: () => void) {
      later.push(what);
      return none;
    },
  };
  let ready: ((events: number) => void) | undefined;
  const opened = {
    ...{ picture: mode, fps: 100, frames: [0], start: () => undefined, stop: () => undefined },
    watch(handler: (events: number) => void) {
      ready = handler;
      return { ...none, setEvents: () => undefined };
    },
    next: () => ({ bytesused: 1, ...none }),
    ...none,
  };
  using source = new FrameSource({
    ...{ name: "fake", offers },
    open: () => opened as unknown as Source,
  });
  const watcher = new Watcher();
  const start = () => source.start(loop as unknown as Loop, mode, interval, watcher);
  start();
  later.pop()?.();
  ready?.(EPOLLIN);
  source.stop();
  start();
  ready?.(EPOLLIN); // it was ready in the same turn of the loop
  expect([watcher.begins, watcher.frames.length]).toEqual([1, 1]);
  later.pop()?.();
  ready?.(EPOLLIN);
  expect([watcher.begins, watcher.frames.length]).toEqual([2, 2]);
});

test("another mode opens the source again", async () => {
  using loop = new Loop();
  const modes: string[] = [];
  using source = new FrameSource({
    name: "testsrc",
    offers: madeOffers(["YUYV", "NV12"], [[64, 48]], [100]),
    open: (wanted, rate) => {
      modes.push(fourccName(wanted.pixelformat));
      return testSource(wanted, rate);
    },
  });
  const watcher = new Watcher();
  source.start(loop, mode, interval, watcher);
  await until(loop, () => watcher.frames.length > 0);
  source.stop();
  const nv12 = firstMode(source.offers.slice(1));
  source.start(loop, nv12, interval, watcher);
  await until(loop, () => watcher.frames.includes(nv12.sizeimage));
  expect(modes).toEqual(["YUYV", "NV12"]);
});

test("a source that is not there is tried again, and its pictures come when it is", async () => {
  using loop = new Loop();
  let tries = 0;
  using source = new FrameSource({
    name: "/dev/video0",
    offers,
    open: (...of) => {
      tries += 1;
      if (tries < 3) throw new UnavailableError("open /dev/video0: ENODEV");
      return testSource(...of);
    },
  });
  const watcher = new Watcher();
  source.start(loop, mode, interval, watcher);
  await until(loop, () => watcher.frames.length > 0);
  expect(tries).toBe(3);
  expect(watcher.lines).toEqual([
    ["NO SIGNAL", "/dev/video0", "trying again"],
    ["NO SIGNAL", "/dev/video0", "trying again"],
  ]);
});

/** A source that ends after `count` frames. */
function ending(inner: Source, count: number): Source {
  let left = count;
  return new Proxy(inner, {
    get(target, name) {
      if (name === "next")
        return () => {
          if (left === 0) throw new SourceEnded("it was unplugged", true);
          const frame = target.next();
          if (frame !== undefined) left -= 1;
          return frame;
        };
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

test("a source that is unplugged in mid-stream is opened again", async () => {
  using loop = new Loop();
  let opened = 0;
  using source = new FrameSource({
    name: "webcam",
    offers,
    open: (...of) => {
      opened += 1;
      return opened === 1 ? ending(testSource(...of), 3) : testSource(...of);
    },
  });
  const watcher = new Watcher();
  source.start(loop, mode, interval, watcher);
  await until(loop, () => opened === 2 && watcher.frames.length > 5);
  expect(watcher.lines.length).toBe(1);
  expect(watcher.begins).toBe(2);
});

test("a defect of a source is not taken for a lost one", async () => {
  using loop = new Loop();
  using source = new FrameSource({
    name: "broken",
    offers,
    open: () => {
      throw new TypeError("a defect");
    },
  });
  source.start(loop, mode, interval, new Watcher());
  let message = "";
  await until(loop, () => false).catch((error: Error) => {
    message = error.message;
  });
  expect(message).toBe("a defect");
});
