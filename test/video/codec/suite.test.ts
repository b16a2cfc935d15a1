// What every codec must do, whatever decodes behind it: null, a V4L2 decoder, libavcodec in its process. One suite, three codecs.
import { describe, expect, test } from "bun:test";
import type { CodecBackend } from "../../../src/video/codec/codec.ts";
import { openNull } from "../../../src/video/codec/null.ts";
import { decoderOn } from "../../../src/video/codec/v4l2-decoder.ts";
import * as s from "../../../src/video/structs.ts";
import { type ClipOptions, ClipPlayer, timeOf } from "../../support/clip-player.ts";
import { Clips, clipKinds } from "../../support/clips.ts";
import { FakeDecoder } from "../../support/fake-decoder.ts";
import { fwhtFrame } from "../../support/fwht.ts";
import { softwareDecoder } from "../../support/software-decoder.ts";
import { BASE, type LocalDriver, localDriver } from "../../support/video-driver.ts";

const [WIDTH, HEIGHT] = [176, 144];
const FRAMES = 30;
const PICTURE = (WIDTH * HEIGHT * 3) / 2;
const MEMORY = 48 * 1024 * 1024;
const YUV420 = 4;
const FWHT = 0x1006;
/** For a machine with much other work. */
const WAIT_MS = 20_000;

const clips = new Clips();

/** The first `count` frames of a clip in VP8, whose decoder gives a picture for each of them at once. */
function vp8(count: number, size = `${WIDTH}x${HEIGHT}`): Uint8Array[] {
  const kind = clipKinds.find(({ name }) => name === "VP8");
  if (kind === undefined) throw new Error("there is no clip in VP8");
  const { bytes, units } = clips.get({ ...kind, name: `VP8 ${size}`, size });
  return units.slice(0, count).map(({ at, length }) => bytes.subarray(at, at + length));
}

interface Codec {
  readonly name: string;
  readonly open: () => { backend: CodecBackend; fake?: FakeDecoder };
  readonly coded: number;
  /** It works on the memory of the resources. */
  readonly inPlace?: boolean;
  /** Frames of one size, and frames of which the second half has another one. */
  readonly frames: () => Uint8Array[];
  readonly twoSizes: () => Uint8Array[];
}

const fwht = (count: number, width = WIDTH, height = HEIGHT) =>
  Array.from({ length: count }, (_, i) => fwhtFrame(width, height, 40 + i));
const fwhtClips = {
  coded: FWHT,
  frames: () => fwht(FRAMES),
  twoSizes: () => [...fwht(FRAMES / 2), ...fwht(FRAMES / 2, 256, 192)],
};
const fakeCodec = (name: string, userPointers: boolean): Codec => ({
  name,
  open: () => {
    const fake = new FakeDecoder({ userPointers });
    return { backend: decoderOn(fake.open(), () => fake.open()), fake };
  },
  inPlace: userPointers,
  ...fwhtClips,
});

const codecs: readonly Codec[] = [
  { name: "null", open: () => ({ backend: openNull() }), ...fwhtClips },
  fakeCodec("v4l2-decoder, copied", false),
  fakeCodec("v4l2-decoder, on guest memory", true),
  {
    name: "libavcodec",
    open: () => ({ backend: softwareDecoder() }),
    coded: 0x1004,
    frames: () => vp8(FRAMES),
    twoSizes: () => [...vp8(FRAMES / 2), ...vp8(FRAMES / 2, "256x192")],
  },
];

/** A driver at a codec. */
class Bench implements Disposable {
  readonly driver: LocalDriver;
  readonly codec: Codec;
  readonly #backend: CodecBackend;
  readonly #fake: FakeDecoder | undefined;

  constructor(codec: Codec) {
    const { backend, fake } = codec.open();
    this.codec = codec;
    this.#backend = backend;
    this.#fake = fake;
    const watcher = fake === undefined ? {} : { watcher: fake.watcher };
    this.driver = localDriver(backend, { memoryBytes: MEMORY, ...watcher });
  }

  player(more: Partial<ClipOptions> = {}, frames = this.codec.frames(), stream = 1): ClipPlayer {
    let end = 0;
    const ends = frames.map(({ length }) => {
      end += length;
      return end;
    });
    return new ClipPlayer(this.driver, stream, {
      clip: Buffer.concat(frames),
      ends,
      coded: this.codec.coded,
      format: YUV420,
      width: WIDTH,
      height: HEIGHT,
      chunk: "frame",
      pieces: 1,
      mode: "drain",
      ...more,
    });
  }

  /** Lets the codec work until `holds`. */
  async until(holds: () => boolean): Promise<void> {
    const settled = () => {
      this.#fake?.settle();
      return holds();
    };
    await this.driver.until(settled, WAIT_MS);
  }

  /** Plays until the players are done. */
  async play(...players: ClipPlayer[]): Promise<void> {
    await this.until(() => {
      for (const player of players) while (player.step()) this.#fake?.settle();
      return players.every(({ done }) => done);
    });
  }

  [Symbol.dispose](): void {
    this.driver[Symbol.dispose]();
    this.#backend[Symbol.dispose]();
  }
}

const times = (count: number) => Array.from({ length: count }, (_, i) => timeOf(i));

describe.each(codecs)("$name", (codec) => {
  test("every frame becomes one picture, in order, with its time; then EOS and the drain's answer", async () => {
    using bench = new Bench(codec);
    const player = bench.player();
    await bench.play(player);
    expect(player).toMatchObject({ frames: FRAMES, errors: 0, eos: 1, changes: 1 });
    expect(player.times).toEqual(times(FRAMES));
  });

  test("after a drain new bitstream is decoded", async () => {
    using bench = new Bench(codec);
    const player = bench.player({ mode: "resume" });
    await bench.play(player);
    expect(player).toMatchObject({ frames: 2 * FRAMES, errors: 0, eos: 2 });
  });

  test("after a seek nothing of before comes, and nothing of after is lost", async () => {
    using bench = new Bench(codec);
    const player = bench.player({ mode: "seek" });
    await bench.play(player);
    expect(player).toMatchObject({ frames: FRAMES, eos: 1 });
    expect(player.times).toEqual(times(FRAMES));
  });

  test("resources in pieces, and as few picture buffers as the codec allows", async () => {
    using bench = new Bench(codec);
    const player = bench.player({ pieces: 3, spare: 0 });
    await bench.play(player);
    expect(player).toMatchObject({ frames: FRAMES, errors: 0, eos: 1 });
  });

  test("picture buffers that are queued before the first bitstream are used without an event", async () => {
    using bench = new Bench(codec);
    const player = bench.player({ early: true });
    await bench.play(player);
    expect(player).toMatchObject({ frames: FRAMES, errors: 0, eos: 1, changes: 0 });
    expect(player.times).toEqual(times(FRAMES));
  });

  test("picture buffers of another size are taken back after the event, and no picture is lost", async () => {
    using bench = new Bench(codec);
    const player = bench.player({ early: true, reacts: true, width: 320, height: 240 });
    await bench.play(player);
    expect(player).toMatchObject({ frames: FRAMES, errors: 0, eos: 1, changes: 1 });
  });

  test("another size in mid-stream: old pictures, the event, EOS, new pictures", async () => {
    using bench = new Bench(codec);
    const player = bench.player({ width: 256, height: 192 }, codec.twoSizes());
    await bench.play(player);
    expect(player).toMatchObject({ frames: FRAMES, errors: 0, eos: 2, changes: 2 });
    expect(player.times).toEqual(times(FRAMES));
  });

  test("four streams at once are independent", async () => {
    using bench = new Bench(codec);
    const players = [1, 2, 3, 4].map((stream) => bench.player({}, codec.frames(), stream));
    await bench.play(...players);
    for (const player of players) expect(player.times).toEqual(times(FRAMES));
  });

  test("rings that stop and run again in the middle: every picture comes once", async () => {
    using bench = new Bench(codec);
    const player = bench.player();
    for (const stop of [2, 3, 11]) {
      await bench.until(() => {
        while (player.frames < stop && player.step());
        return player.frames >= stop;
      });
      bench.driver.device.pause();
      const answers = bench.driver.answered.length;
      await bench.until(() => true);
      expect(bench.driver.answered.length).toBe(answers);
      bench.driver.device.resume();
    }
    await bench.play(player);
    expect(player).toMatchObject({ frames: FRAMES, errors: 0, eos: 1 });
    expect(player.times).toEqual(times(FRAMES));
  });

  test("a stream that is destroyed returns every buffer first; a reset answers nothing", async () => {
    using bench = new Bench(codec);
    const { driver } = bench;
    const open = () => {
      driver.create(1, { format: codec.coded });
      driver.setParams(1, s.INPUT, { format: codec.coded, width: WIDTH, height: HEIGHT });
      for (const id of [11, 12]) driver.simple(1, s.OUTPUT, id, PICTURE);
      return [11, 12].map((id) => driver.queue(1, s.OUTPUT, id));
    };
    const held = open();
    const destroyed = driver.destroy(1);
    expect(held.map(({ flags }) => flags)).toEqual([s.BUFFER_ERR, s.BUFFER_ERR]);
    expect([destroyed.code, driver.answered.at(-1) === destroyed]).toEqual([0x200, true]);
    const later = open();
    const answers = driver.answered.length;
    driver.device.reset();
    await bench.until(() => true);
    expect(later.every((sent) => sent.held)).toBe(true);
    expect(driver.answered.length).toBe(answers);
  });

  test("after a new memory table decoding goes on in the new place", async () => {
    using bench = new Bench(codec);
    const player = bench.player();
    await bench.until(() => {
      while (player.frames < 3 && player.step());
      return player.frames >= 3;
    });
    bench.driver.device.pause();
    bench.driver.memory.replace([{ address: BASE, length: MEMORY }]); // the same bytes, elsewhere
    bench.driver.device.memoryChanged(bench.driver.memory);
    bench.driver.device.resume();
    await bench.play(player);
    expect(player.eos).toBe(1);
    // A decoder that writes to guest memory loses the pictures that it has in work.
    if (!codec.inPlace) expect([player.frames, player.errors]).toEqual([FRAMES, 0]);
  });
});
