// The stream of a sender as a guest's camera: what a receiver gives to an output reaches the guest, and the guest's stream outlives it.
import { expect, test } from "bun:test";
import { viewOf } from "../../ffi/libc.ts";
import { ProtocolError } from "../../src/errors.ts";
import { fourcc } from "../../src/format/formats.ts";
import { type FrameBuffer, memfdAllocator } from "../../src/frame/memory.ts";
import type { WriterCalls } from "../../src/frame/stream-output.ts";
import { madeOffers } from "../../src/media/made-offers.ts";
import type { ShownFrame, Viewer } from "../../src/media/media-source.ts";
import { type Mode, nearestMode } from "../../src/media/offers.ts";
import { StreamSource } from "../../src/media/stream-source.ts";
import { ManualLoop } from "../support/media-driver.ts";

const offers = madeOffers(["YUYV"], [[16, 8]], [30]);
const mode: Mode = nearestMode(offers, { pixelformat: 0, width: 0, height: 0 });
const interval = { numerator: 1, denominator: 30 };
const picture = { width: 16, height: 8, pixelformat: fourcc("YUYV"), sizeimage: 256 };

class Seen implements Viewer {
  readonly calls: string[] = [];
  begin({ width, height }: { width: number; height: number }): void {
    this.calls.push(`begin ${width}x${height}`);
  }
  show({ pieces, bytesused }: ShownFrame): void {
    const [piece] = pieces;
    const bytes = viewOf(piece?.address ?? 0, bytesused);
    this.calls.push(`${bytesused} bytes of ${bytes[0]}`);
  }
  lost(lines: readonly string[]): void {
    this.calls.push(lines.join(", "));
  }
}

function open(maxFrame = 1 << 20) {
  const loop = new ManualLoop();
  const source = new StreamSource({ name: "0.0.0.0:5000", offers, maxFrame });
  const seen = new Seen();
  let changed = 0;
  const calls: WriterCalls = {
    ready: () => undefined,
    failed: () => undefined,
    returned: () => undefined,
    changed: () => {
      changed += 1;
    },
  };
  return { loop, source, seen, calls, changed: () => changed };
}

const facts = { bytesused: 256, flags: 0, sequence: 0, ts_sec: 0, ts_usec: 0 };

test("frames of a sender reach the guest, and without one it sees what is missing", () => {
  const { loop, source, seen, calls } = open();
  source.start(loop, mode, interval, seen);
  expect(seen.calls).toEqual([]); // STREAMON is answered first
  loop.run();
  const waiting = "NO SIGNAL, waiting for a sender, 0.0.0.0:5000";
  expect(seen.calls).toEqual([waiting]);
  using buffer = memfdAllocator.allocate(256);
  buffer.mapping.bytes.fill(7);
  const writer = source.begin(picture, calls);
  writer.add(0, buffer);
  expect(writer.write(0, facts)).toBe("taken");
  writer[Symbol.dispose]();
  expect(seen.calls.slice(1)).toEqual(["begin 16x8", "256 bytes of 7", waiting]);
});

test("a guest that starts while a sender is there sees it at once; one that has stopped sees nothing", () => {
  const { loop, source, seen, calls } = open();
  const writer = source.begin(picture, calls);
  using buffer = memfdAllocator.allocate(256);
  writer.add(0, buffer);
  expect(writer.write(0, facts)).toBe("taken");
  source.start(loop, mode, interval, seen);
  loop.run();
  writer.write(0, facts);
  source.stop();
  writer.write(0, facts);
  writer[Symbol.dispose]();
  expect(seen.calls).toEqual(["begin 16x8", "256 bytes of 0"]);
});

test("the end of an earlier sender does not end the stream of the next one", () => {
  const { loop, source, seen, calls } = open();
  source.start(loop, mode, interval, seen);
  loop.run();
  const first = source.begin(picture, calls);
  const second = source.begin({ ...picture, width: 8, height: 16 }, calls);
  first[Symbol.dispose]();
  expect(seen.calls.slice(1)).toEqual(["begin 16x8", "begin 8x16"]);
  second[Symbol.dispose]();
  expect(seen.calls.length).toBe(4);
});

test("a frame whose memory was overwritten while it was copied is not shown", () => {
  const { loop, source, seen, calls, changed } = open();
  source.start(loop, mode, interval, seen);
  loop.run();
  using memory = memfdAllocator.allocate(256);
  let overwritten = false;
  const buffer: FrameBuffer = {
    fd: undefined,
    dmaBuf: false,
    mapping: memory.mapping,
    begin: () => undefined,
    end: () => undefined,
    changed: () => overwritten,
    [Symbol.dispose]: () => undefined,
  };
  const writer = source.begin(picture, calls);
  writer.add(0, buffer);
  writer.write(0, facts);
  overwritten = true;
  writer.write(0, facts);
  expect(seen.calls.slice(2)).toEqual(["256 bytes of 0"]);
  expect(changed()).toBe(1);
});

test("a frame that claims more bytes than its buffer has is not read", () => {
  const { loop, source, seen, calls } = open();
  source.start(loop, mode, interval, seen);
  loop.run();
  using buffer = memfdAllocator.allocate(256);
  const writer = source.begin(picture, calls);
  writer.add(0, buffer);
  expect(writer.write(0, { ...facts, bytesused: 257 })).toBe("taken");
  expect(seen.calls.length).toBe(2);
});

test.each([
  ["a format that cannot be converted", { ...picture, pixelformat: fourcc("H264") }],
  ["fewer bytes than a picture has", { ...picture, sizeimage: 255 }],
  [
    "a JPEG that is too large decoded",
    { width: 9000, height: 9000, pixelformat: fourcc("MJPG"), sizeimage: 9 },
  ],
])("a sender with %s is refused", (_, wrong) => {
  const { source, calls } = open();
  expect(() => source.begin(wrong, calls)).toThrow(ProtocolError);
});
