// Bitstream that is made to harm, and guests that open streams without end. Damage at random is in test/fuzz/libavcodec.ts.
import { expect, test } from "bun:test";
import type { CodecBackend } from "../../../../src/video/codec/codec.ts";
import { softwareCodecs } from "../../../../src/video/codec/libavcodec/codecs.ts";
import { residentBytes } from "../../../../src/video/codec/libavcodec/watchdog.ts";
import * as s from "../../../../src/video/structs.ts";
import { ClipPlayer } from "../../../support/clip-player.ts";
import { type ClipKind, Clips, clipKinds, unitsOf } from "../../../support/clips.ts";
import { childrenOf } from "../../../support/processes.ts";
import { mappingsOf, openDescriptors } from "../../../support/resources.ts";
import { softwareDecoder } from "../../../support/software-decoder.ts";
import { type LocalDriver, localDriver } from "../../../support/video-driver.ts";

const MEMORY = 64 * 1024 * 1024;
const YUV420 = 4;
const LIMIT_MS = 25_000;

const clips = new Clips();

const kindNamed = (name: string): ClipKind => {
  const kind = clipKinds.find((row) => row.name === name);
  if (kind === undefined) throw new Error(`no clip ${name}`);
  return kind;
};

function unitsNamed(name: string): Uint8Array<ArrayBuffer>[] {
  const clip = clips.get(kindNamed(name));
  return unitsOf(clip).map(({ at, end }) => clip.bytes.slice(at, end));
}

/** Plays units, one in each buffer, or in buffers of `chunk` bytes. */
function player(
  driver: LocalDriver,
  stream: number,
  codec: string,
  units: readonly Uint8Array[],
  chunk: "frame" | number = "frame",
): ClipPlayer {
  let end = 0;
  const ends = units.map(({ length }) => {
    end += length;
    return end;
  });
  return new ClipPlayer(driver, stream, {
    clip: Buffer.concat(units),
    ends,
    coded: softwareCodecs.find(({ name }) => name === codec)?.format ?? 0,
    format: YUV420,
    width: 176,
    height: 144,
    chunk,
    pieces: 1,
    mode: "drain",
    spare: 4,
  });
}

function stepAll(players: readonly ClipPlayer[]): boolean {
  for (const one of players) while (one.step());
  return players.every(({ done }) => done);
}

const decoders = () => childrenOf(process.pid);

/** Where a key frame of a codec has its size, and bytes that claim 16383x16383 or more: RFC 6386, 9.1; VP9 specification, 6.2. */
const huge = [
  { name: "VP8", codec: "vp8", at: 6, bytes: [0xff, 0x3f, 0xff, 0x3f] },
  { name: "VP9", codec: "vp9", at: 4, bytes: [0x0f, 0xff, 0xff, 0xff, 0xf0] },
];

test.each(huge)(
  "$name: a key frame that claims 16,384 x 16,384 pixels costs no memory, and the clip after it is decoded",
  async ({ name, codec, at, bytes }) => {
    using backend = softwareDecoder();
    using driver = localDriver(backend, { memoryBytes: MEMORY });
    const units = unitsNamed(name);
    const claim = units[0]?.slice() ?? new Uint8Array(0);
    for (const [i, byte] of bytes.entries()) {
      const first = codec === "vp9" && i === 0; // four bits of this byte come before the size
      claim[at + i] = first ? ((claim[at] ?? 0) & 0xf0) | byte : byte;
    }
    const one = player(driver, 1, codec, [claim, ...units]);
    let most = 0;
    const all = driver.until(() => {
      for (const pid of decoders()) most = Math.max(most, residentBytes(pid));
      return stepAll([one]);
    }, LIMIT_MS);
    await all.catch((error: Error) => {
      throw new Error(`${error.message}; ${one}; ${driver.complaints.join("; ")}`);
    });
    expect(one).toMatchObject({ frames: units.length, errors: 0 });
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThan(256 << 20); // a picture of that size alone has 384 MiB
  },
  30_000,
);

/** A unit that the library needs many seconds for: parameter sets without end, before a picture. */
function slowUnit(): Uint8Array<ArrayBuffer> {
  const [first] = unitsNamed("H.264 baseline");
  const bytes = Buffer.from(first ?? []);
  const starts = [...bytes.keys()].filter(
    (i) => bytes[i] === 0 && bytes[i + 1] === 0 && bytes[i + 2] === 1,
  );
  const pieces = starts.map((at, i) => bytes.subarray(at, starts[i + 1]));
  const [sps, pps, slice] = [7, 8, 5].map(
    (type) => pieces.find((piece) => ((piece[3] ?? 0) & 0x1f) === type) ?? bytes,
  );
  if (sps === undefined || pps === undefined || slice === undefined) throw new Error("no units");
  const many = Array.from({ length: Math.floor((4 << 20) / pps.length) }, () => pps);
  return new Uint8Array(Buffer.concat([sps, ...many, slice, sps, pps, slice]));
}

test("a unit that takes seconds costs its stream one ERROR event; the stream beside it goes on", async () => {
  using backend = softwareDecoder();
  using driver = localDriver(backend, { memoryBytes: MEMORY });
  const slow = player(driver, 1, "h264", [slowUnit()], 1 << 20);
  let failure = "";
  const sound = player(driver, 2, "h264", unitsNamed("H.264 baseline"));
  await driver.until(() => {
    stepAll([sound]);
    try {
      if (failure === "") stepAll([slow]);
    } catch (error) {
      failure = (error as Error).message;
    }
    return sound.done && failure !== "";
  }, LIMIT_MS);
  expect(failure).toBe("the stream has failed");
  expect(sound).toMatchObject({ frames: 300, errors: 0 });
  const errors = driver.eventList.filter(([type]) => type === s.EVENT_ERROR);
  expect(errors).toEqual([[s.EVENT_ERROR, 1]]);
  expect(driver.answered.filter(({ answers }) => answers !== 1)).toEqual([]);
  driver.destroy(1);
  await driver.until(() => decoders().length === 0);
}, 30_000);

/** A guest that opens and destroys 50 streams; every tenth decodes. */
async function comeAndGo(backend: CodecBackend): Promise<void> {
  using driver = localDriver(backend, { memoryBytes: MEMORY });
  const units = unitsNamed("H.264 baseline").slice(0, 10);
  for (let i = 0; i < 50; i++) {
    if (i % 10 === 0) {
      const one = player(driver, 1, "h264", units);
      await driver.until(() => stepAll([one]), LIMIT_MS);
      expect(one.frames).toBe(units.length);
    } else {
      driver.create(1, { format: 0x1002 });
      driver.queue(1, s.INPUT, 1);
      driver.destroy(1);
    }
  }
  await driver.until(() => decoders().length === 0, LIMIT_MS);
}

/** By hand it was 20 guests, 1,000 streams; each costs the start of a process. */
const GUESTS = 2;

test("streams that come and go leave no process, no descriptor and no memory", async () => {
  using backend = softwareDecoder();
  await comeAndGo(backend);
  Bun.gc(true);
  const before = {
    descriptors: openDescriptors(),
    mappings: mappingsOf("framepass"),
    rss: process.memoryUsage.rss(),
  };
  for (let i = 0; i < GUESTS; i++) await comeAndGo(backend);
  Bun.gc(true);
  expect(openDescriptors()).toBe(before.descriptors);
  expect(mappingsOf("framepass")).toBe(before.mappings);
  expect(process.memoryUsage.rss() - before.rss).toBeLessThan(64 << 20);
}, 60_000);
