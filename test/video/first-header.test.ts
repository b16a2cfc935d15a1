// The first header of a stream, for programs that queue their picture buffers before it (GStreamer) or after the event
// (v4l2-ctl), and that answer an event by QUEUE_CLEAR or do not. No picture is lost, with any codec.
import { describe, expect, test } from "bun:test";
import { openNull } from "../../src/video/codec/null.ts";
import { decoderOn } from "../../src/video/codec/v4l2-decoder.ts";
import { type ClipOptions, ClipPlayer, timeOf } from "../support/clip-player.ts";
import { FakeDecoder, type FakeOptions } from "../support/fake-decoder.ts";
import { fwhtFrame } from "../support/fwht.ts";
import { type LocalDriver, localDriver } from "../support/video-driver.ts";

const W = 64;
const H = 48;

interface Bench extends Disposable {
  readonly driver: LocalDriver;
  readonly settle: () => void;
}

const onNull = (): Bench => {
  const driver = localDriver(openNull());
  return { driver, settle: () => undefined, [Symbol.dispose]: () => driver[Symbol.dispose]() };
};
const onFake = (options: FakeOptions) => (): Bench => {
  const fake = new FakeDecoder(options);
  const backend = decoderOn(fake.open(), () => fake.open());
  const driver = localDriver(backend, { watcher: fake.watcher });
  return {
    driver,
    settle: () => fake.settle(),
    [Symbol.dispose]() {
      driver[Symbol.dispose]();
      backend[Symbol.dispose]();
    },
  };
};
const codecs: [string, () => Bench][] = [
  ["null", onNull],
  ["V4L2, copied", onFake({})],
  ["V4L2, on guest memory", onFake({ userPointers: true })],
  ["V4L2, START forgotten", onFake({ userPointers: true, forgetsStart: true })],
];

/** A player of a clip of `frames` frames; nothing is played yet. */
function player(bench: Bench, frames: number, more: Partial<ClipOptions>): ClipPlayer {
  const clip = Buffer.concat(Array.from({ length: frames }, (_, i) => fwhtFrame(W, H, 40 + i)));
  const usual = {
    format: 4,
    width: W,
    height: H,
    chunk: "frame",
    pieces: 1,
    mode: "drain",
  } as const;
  return new ClipPlayer(bench.driver, 1, { ...usual, clip, ...more });
}

/** Plays until nothing happens any more. */
function run({ settle }: Bench, of: ClipPlayer): void {
  for (let idle = 0; idle < 2; idle++) {
    settle();
    while (of.step()) {
      settle();
      idle = 0;
    }
  }
}
const times = (frames: number) => Array.from({ length: frames }, (_, i) => timeOf(i));

describe.each(codecs)("%s", (_, open) => {
  for (const frames of [1, 2, 6, 30, 150]) {
    for (const mode of ["drain", "plain"] as const) {
      const name = `${frames} frames, ${mode === "drain" ? "with a drain" : "without a drain"}`;
      test.each([
        ["answers events by QUEUE_CLEAR", true],
        ["does not", false],
      ])(
        `${name}: complete, without an event, for a program with buffers of that size that %s`,
        (_, reacts) => {
          using bench = open();
          const of = player(bench, frames, { early: true, reacts, mode });
          run(bench, of);
          expect([of.frames, of.errors, of.changes]).toEqual([frames, 0, 0]);
          expect(of.times).toEqual(times(frames));
          if (mode === "drain") expect([of.eos, of.done]).toEqual([1, true]);
        },
      );

      test(`${name}: complete, after an event, for a program that makes buffers then`, () => {
        using bench = open();
        const of = player(bench, frames, { mode });
        run(bench, of);
        expect([of.frames, of.errors, of.changes]).toEqual([frames, 0, 1]);
        expect(of.times).toEqual(times(frames));
      });

      test(`${name}: of another size, complete for a program that answers the event by QUEUE_CLEAR`, () => {
        using bench = open();
        const of = player(bench, frames, {
          early: true,
          reacts: true,
          mode,
          width: 128,
          height: 96,
        });
        run(bench, of);
        expect([of.frames, of.errors, of.changes]).toEqual([frames, 0, 1]);
        expect(of.times).toEqual(times(frames));
      });
    }
  }

  test("of another size: the old buffers stay parked until QUEUE_CLEAR, however late it comes", () => {
    using bench = open();
    const of = player(bench, 30, { early: true, reacts: false, width: 128, height: 96 });
    run(bench, of);
    expect([of.frames, of.errors, of.eos, of.changes]).toEqual([0, 0, 0, 1]);
    of.renewOutputs();
    run(bench, of);
    expect([of.frames, of.errors, of.eos, of.done]).toEqual([30, 0, 1, true]);
    expect(of.times).toEqual(times(30));
  });
});
