// Pictures that the decoder puts into memory of ours, where they are read in place.
import { expect, test } from "bun:test";
import type { AvFrame } from "../../../../ffi/av-frame.ts";
import { Fd } from "../../../../ffi/fd.ts";
import { loadAvcodec } from "../../../../ffi/libavcodec.ts";
import { addressOf, viewOf } from "../../../../ffi/libc.ts";
import { Mapping } from "../../../../ffi/mapping.ts";
import { type PicturePlaces, SPARE_BYTES } from "../../../../ffi/picture-writer.ts";
import { softwareCodecs } from "../../../../src/video/codec/libavcodec/codecs.ts";
import { Decoder, type PictureSink } from "../../../../src/video/codec/libavcodec/decoder.ts";
import {
  FRAMES,
  frameBytes,
  PICTURE_SLOTS,
  record,
} from "../../../../src/video/codec/libavcodec/messages.ts";
import { PictureFrames } from "../../../../src/video/codec/libavcodec/picture-frames.ts";
import { YUV420, YVU420 } from "../../../../src/video/formats.ts";
import { type ClipKind, Clips, clipKinds, referenceSums } from "../../../support/clips.ts";
import { piecesOf } from "../../../support/decode-clip.ts";

/** Rows of this width, and half of it, are aligned as decoders demand on every machine. */
const [WIDTH, HEIGHT] = [256, 192];
const MAX_PIXELS = WIDTH * HEIGHT * 2;
const LUMA = WIDTH * HEIGHT;
const LENGTHS = [LUMA, LUMA / 4, LUMA / 4];
const PIECE = 4096;

const clips = new Clips();

/** The clip of that name in the size of this test. */
function large(name: string): ClipKind {
  const kind = clipKinds.find((row) => row.name === name);
  if (kind === undefined) throw new Error(`no clip ${name}`);
  return { ...kind, name: `${name} of ${WIDTH}x${HEIGHT}`, size: `${WIDTH}x${HEIGHT}` };
}

const md5 = (parts: readonly Uint8Array[]) => {
  const hash = new Bun.CryptoHasher("md5");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
};

/** Keeps each picture as long as a daemon can, and only then reads it. */
class SlowReader implements PictureSink, Disposable {
  readonly frames: PictureFrames;
  readonly sums: string[] = [];
  taken = 0;
  copied = 0;
  readonly #memory: Mapping;
  readonly #bytes: number;
  readonly #swapped: boolean;
  readonly #copy = new Uint8Array(new ArrayBuffer((LUMA * 3) / 2 + SPARE_BYTES));
  readonly #held: { readonly slot: number; readonly planes: readonly Uint8Array[] }[] = [];
  #next = 0;
  #inFrame = false;

  constructor(slots: number, output: number) {
    this.#bytes = frameBytes(MAX_PIXELS);
    this.#swapped = output === YVU420;
    using fd = Fd.memory("test pictures", slots * this.#bytes);
    this.#memory = new Mapping(fd.number, slots * this.#bytes, fd.name);
    const { address } = this.#memory;
    this.frames = new PictureFrames(loadAvcodec(), { address, slots, slotBytes: this.#bytes });
  }

  changed(): void {}
  place(): number {
    return addressOf(this.#copy);
  }
  takes(picture: AvFrame, places: PicturePlaces): boolean {
    this.#inFrame = this.frames.find(picture, places);
    return this.#inFrame;
  }
  picture(): void {
    const slot = this.#next % PICTURE_SLOTS;
    this.#next += 1;
    if (this.#held.length === PICTURE_SLOTS) this.#read();
    if (this.#inFrame) this.taken += 1;
    else this.copied += 1;
    this.#held.push({ slot, planes: this.#inFrame ? this.#announced(slot) : this.#written() });
  }
  #announced(slot: number): readonly Uint8Array[] {
    const message = record.alloc();
    message.slot = slot;
    this.frames.announce(message);
    const at = this.#memory.address + (message.frame - 1) * this.#bytes;
    const begins = [message["plane[0]"], message["plane[1]"], message["plane[2]"]];
    return begins.map((begin, i) => viewOf(at + begin, LENGTHS[i] ?? 0));
  }
  #written(): readonly Uint8Array[] {
    const copy = this.#copy.slice();
    const ends = [LUMA, (LUMA * 5) / 4, (LUMA * 3) / 2];
    return LENGTHS.map((length, i) => copy.subarray((ends[i] ?? 0) - length, ends[i]));
  }
  #read(): void {
    const oldest = this.#held.shift();
    if (oldest === undefined) return;
    const [y, second, third] = oldest.planes as [Uint8Array, Uint8Array, Uint8Array];
    this.sums.push(md5(this.#swapped ? [y, third, second] : [y, second, third]));
    this.frames.granted(oldest.slot);
  }
  readAll(): void {
    while (this.#held.length > 0) this.#read();
  }
  failed(_key: number, error: number): void {
    throw new Error(`error ${error}`);
  }
  progress(): void {}
  [Symbol.dispose](): void {
    this.frames[Symbol.dispose]();
    this.#memory[Symbol.dispose]();
  }
}

function decode(kind: ClipKind, reader: SlowReader, output: number, threads = 1): void {
  const clip = clips.get(kind);
  const row = softwareCodecs.find(({ name }) => name === kind.codec);
  if (row === undefined) throw new Error(`no row for ${kind.codec}`);
  const { memory } = reader.frames;
  const options = { threads, maxPixels: MAX_PIXELS, output, memory };
  using decoder = new Decoder(loadAvcodec(), row, options, reader);
  for (const { at, end } of piecesOf(clip, PIECE)) {
    const part = clip.bytes.slice(at, end);
    decoder.take(addressOf(part), part.length, at);
    decoder.run();
  }
  decoder.drain();
  decoder.run();
  reader.readAll();
}

/** Decodes, and compares every picture with ffmpeg's. */
function compare(kind: ClipKind, reader: SlowReader, output: number, threads = 1): void {
  decode(kind, reader, output, threads);
  expect(reader.sums).toEqual([...referenceSums(clips.get(kind), kind).yuv420p]);
}

const kinds = [
  "H.264 main with a pyramid of B-frames",
  "H.264 interlaced",
  "H.264 of full range",
  "HEVC main",
  "VP8 with hidden frames",
  "VP9",
  "MPEG-2",
  "MPEG-4",
].map(large);

test.each(kinds)("$name: no picture is copied, and none is changed before it is read", (kind) => {
  using reader = new SlowReader(FRAMES, YUV420);
  compare(kind, reader, YUV420);
  expect([reader.taken, reader.copied]).toEqual([300, 0]);
});

test("a frame that VP9 shows twice while it is still unread is copied the second time", () => {
  using reader = new SlowReader(FRAMES, YUV420);
  compare(large("VP9 with superframes"), reader, YUV420);
  expect(reader.taken + reader.copied).toBe(300);
  expect(reader.taken).toBeGreaterThan(200);
});

test("V before U: the planes are announced in the order of the guest", () => {
  using reader = new SlowReader(FRAMES, YVU420);
  compare(large("VP9"), reader, YVU420);
  expect(reader.copied).toBe(0);
});

test.each(kinds)(
  "$name: with too few frames the rest is copied, and every picture is right",
  (kind) => {
    using reader = new SlowReader(4, YUV420);
    compare(kind, reader, YUV420);
    expect(reader.taken).toBeGreaterThan(0);
    expect(reader.copied).toBeGreaterThan(0);
  },
);

test.each(["H.264 cropped", "H.264 10 bit", "VP9 of an odd size"])(
  "%s: what does not lie as the guest wants it is copied",
  (name) => {
    const kind = clipKinds.find((row) => row.name === name);
    if (kind === undefined) throw new Error(`no clip ${name}`);
    using reader = new SlowReader(FRAMES, YUV420);
    decode(kind, reader, YUV420); // the reader knows one size only, so nothing is compared
    expect([reader.taken, reader.copied]).toEqual([0, 300]);
  },
);

test("with two threads the library calls back on threads of its own, so its own memory is used", () => {
  using reader = new SlowReader(FRAMES, YUV420);
  compare(large("H.264 main with a pyramid of B-frames"), reader, YUV420, 2);
  expect([reader.taken, reader.copied]).toEqual([0, 300]);
});
