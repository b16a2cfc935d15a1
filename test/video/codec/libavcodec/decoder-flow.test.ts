// What the decoder does besides decoding: keys, back-pressure, drains, seeks, limits.
import { expect, test } from "bun:test";
import { loadAvcodec } from "../../../../ffi/libavcodec.ts";
import { addressOf } from "../../../../ffi/libc.ts";
import { Decoder } from "../../../../src/video/codec/libavcodec/decoder.ts";
import { NV12, YUV420 } from "../../../../src/video/formats.ts";
import {
  type ClipKind,
  Clips,
  clipKinds,
  picturePositions,
  referenceSums,
} from "../../../support/clips.ts";
import { decodeClip, feed, openDecoder, piecesOf, runOut } from "../../../support/decode-clip.ts";
import { PictureSums } from "../../../support/picture-sums.ts";
import { leftBehind } from "../../../support/resources.ts";

const clips = new Clips();

const kindNamed = (name: string): ClipKind => {
  const kind = clipKinds.find((row) => row.name === name);
  if (kind === undefined) throw new Error(`no clip ${name}`);
  return kind;
};
const pyramid = kindNamed("H.264 main with a pyramid of B-frames");
const PIECE = 3000;
const EINVAL = -22;

const reordered = [pyramid, ...["HEVC main", "MPEG-2", "MPEG-4", "VP9"].map(kindNamed)];

test.each(reordered)("$name: a picture has the key of the piece in which it begins", (kind) => {
  const clip = clips.get(kind);
  const sink = new PictureSums(YUV420);
  using decoder = openDecoder(kind.codec, sink);
  decodeClip(decoder, sink, clip, PIECE);
  const pieces = piecesOf(clip, PIECE);
  // ffprobe answers where the header of an IVF frame is.
  const header = clip.units.length > 1 ? 12 : 0;
  const keyAt = (position: number) =>
    pieces.find(({ at, end }) => at <= position && position < end)?.at;
  const positions = picturePositions(clip);
  expect(sink.keys.length).toBe(positions.length);
  for (const [i, position] of positions.entries()) {
    const begin = position + header;
    // The parser takes the piece in which it sees the beginning: after the start code and the first bytes of a header.
    const seen = Array.from({ length: 8 }, (_, later) => keyAt(begin + later));
    expect(seen, `picture ${i}`).toContain(sink.keys[i]);
  }
});

test("without a place decoding waits, and nothing is lost or decoded twice", () => {
  const clip = clips.get(pyramid);
  const sink = new PictureSums(YUV420);
  sink.places = 0;
  using decoder = openDecoder("h264", sink);
  decodeClip(decoder, sink, clip, 1 << 20);
  expect(sink.sums).toEqual([...referenceSums(clip, pyramid).yuv420p]);
});

test("bytes are refused while the decoder waits for a place", () => {
  const clip = clips.get(pyramid);
  const sink = new PictureSums(YUV420);
  sink.places = 0;
  using decoder = openDecoder("h264", sink);
  decoder.take(addressOf(clip.bytes), clip.bytes.length, 0);
  expect(decoder.run()).toBe(false);
  expect(decoder.idle).toBe(false);
  expect(() => decoder.take(addressOf(clip.bytes), 1, 1)).toThrow("not idle");
  expect(() => decoder.drain()).toThrow("not idle");
});

test("after a drain the next bitstream is decoded whole", () => {
  const clip = clips.get(pyramid);
  const sink = new PictureSums(YUV420);
  using decoder = openDecoder("h264", sink);
  decodeClip(decoder, sink, clip, PIECE);
  decodeClip(decoder, sink, clip, PIECE);
  const once = referenceSums(clip, pyramid).yuv420p;
  expect(sink.sums).toEqual([...once, ...once]);
});

test("a drain of an empty bitstream ends at once, twice", () => {
  const sink = new PictureSums(YUV420);
  using decoder = openDecoder("h264", sink);
  for (const _ of [1, 2]) {
    decoder.drain();
    expect(decoder.run()).toBe(true);
    expect(decoder.idle).toBe(true);
  }
  expect(sink.sums).toEqual([]);
});

test("after a seek only pictures of the new place come, and their size is announced again", () => {
  const clip = clips.get(pyramid);
  const sink = new PictureSums(YUV420);
  using decoder = openDecoder("h264", sink);
  const pieces = piecesOf(clip, PIECE);
  feed(decoder, sink, clip, pieces.slice(0, 20));
  expect(sink.sums.length).toBeGreaterThan(0);
  decoder.flush();
  sink.sums.length = 0;
  decodeClip(decoder, sink, clip, PIECE);
  expect(sink.sums).toEqual([...referenceSums(clip, pyramid).yuv420p]);
  expect(sink.sizes).toEqual(["176x144", "176x144"]);
});

test("a seek drops the picture that waits for a place and a drain that is not complete", () => {
  const clip = clips.get(pyramid);
  const sink = new PictureSums(YUV420);
  sink.places = 5;
  using decoder = openDecoder("h264", sink);
  decoder.take(addressOf(clip.bytes), clip.bytes.length, 0);
  expect(decoder.run()).toBe(false);
  decoder.flush();
  expect(decoder.idle).toBe(true);
  sink.places = 3;
  decoder.take(addressOf(clip.bytes), 20_000, 0);
  decoder.run();
  sink.places = Number.POSITIVE_INFINITY;
  decoder.run();
  decoder.drain();
  sink.places = 0;
  expect(decoder.run()).toBe(false);
  decoder.flush();
  sink.sums.length = 0;
  sink.places = Number.POSITIVE_INFINITY;
  decodeClip(decoder, sink, clip, PIECE);
  expect(sink.sums).toEqual([...referenceSums(clip, pyramid).yuv420p]);
});

test("the format of pictures may change at any picture", () => {
  const clip = clips.get(pyramid);
  const sink = new PictureSums(YUV420);
  sink.places = 100;
  using decoder = openDecoder("h264", sink);
  decoder.take(addressOf(clip.bytes), clip.bytes.length, 0);
  expect(decoder.run()).toBe(false);
  sink.output = NV12;
  decoder.setOutput(NV12);
  runOut(decoder, sink);
  decoder.drain();
  runOut(decoder, sink);
  const { yuv420p, nv12 } = referenceSums(clip, pyramid);
  expect(sink.sums).toEqual([...yuv420p.slice(0, 100), ...nv12.slice(100)]);
});

test("with two threads the pictures are the same", () => {
  const clip = clips.get(pyramid);
  const sink = new PictureSums(YUV420);
  using decoder = openDecoder("h264", sink, { threads: 2 });
  decodeClip(decoder, sink, clip, PIECE);
  expect(sink.sums).toEqual([...referenceSums(clip, pyramid).yuv420p]);
});

test.each(["H.264 of two sizes", "VP9 of two sizes", "HEVC of two sizes"].map(kindNamed))(
  "$name: pictures that are larger than allowed are refused, the others come",
  (kind) => {
    const clip = clips.get(kind);
    const sink = new PictureSums(YUV420);
    using decoder = openDecoder(kind.codec, sink, { maxPixels: 176 * 144 });
    decodeClip(decoder, sink, clip, PIECE);
    expect(sink.sums).toEqual(referenceSums(clip, kind).yuv420p.slice(0, 150));
    expect(sink.sizes).toEqual(["176x144"]);
    expect(sink.failures).toContain(EINVAL);
  },
);

test("VP9 is decoded again after a key frame that claims too large a size", () => {
  const kind = kindNamed("VP9");
  const clip = clips.get(kind);
  const sink = new PictureSums(YUV420);
  using decoder = openDecoder("vp9", sink);
  const pieces = piecesOf(clip, PIECE);
  feed(decoder, sink, clip, pieces.slice(0, 3));
  const [first] = pieces;
  const huge = clip.bytes.slice(first?.at, first?.end);
  huge.set([0xff, 0xff, 0xff, 0xff], 5); // the upper bits of the width and the height: VP9 specification, 6.2
  decoder.take(addressOf(huge), huge.length, 1);
  runOut(decoder, sink);
  expect(sink.failures).toEqual([EINVAL]);
  sink.sums.length = 0;
  decodeClip(decoder, sink, clip, PIECE);
  expect(sink.sums).toEqual([...referenceSums(clip, kind).yuv420p]);
});

test("MPEG-4 is decoded again some units after a header of the studio profile", () => {
  const kind = kindNamed("MPEG-4");
  const clip = clips.get(kind);
  const sink = new PictureSums(YUV420);
  using decoder = openDecoder("mpeg4", sink);
  // A video object layer of type 14, "core studio": ISO/IEC 14496-2, 6.2.3.
  const studio = new Uint8Array([
    0, 0, 1, 0x20, 0x07, 0x54, 0x8d, 0x08, 0xd4, 0x8d, 0, 0, 1, 0xb6, 0x10,
  ]);
  decoder.take(addressOf(studio), studio.length, 1);
  runOut(decoder, sink);
  decodeClip(decoder, sink, clip, PIECE);
  expect(sink.failures.length).toBeGreaterThan(7);
  sink.sums.length = 0;
  decodeClip(decoder, sink, clip, PIECE);
  expect(sink.sums).toEqual([...referenceSums(clip, kind).yuv420p]);
});

test("AV1 is decoded, although virtio-video has no number for it", () => {
  const encode = ["-c:v", "libsvtav1", "-preset", "12"];
  const kind: ClipKind = { name: "AV1", codec: "av1", encode };
  const clip = clips.get(kind);
  const sink = new PictureSums(YUV420);
  const options = { threads: 1, maxPixels: 1 << 20, output: YUV420 };
  using decoder = new Decoder(loadAvcodec(), { name: "av1", parsed: false }, options, sink);
  decodeClip(decoder, sink, clip, PIECE);
  expect(sink.sums).toEqual([...referenceSums(clip, kind).yuv420p]);
});

test("a codec that the library lacks is refused by name", () => {
  const sink = new PictureSums(YUV420);
  const options = { threads: 1, maxPixels: 1 << 20, output: YUV420 };
  const open = () => new Decoder(loadAvcodec(), { name: "h266", parsed: true }, options, sink);
  expect(open).toThrow("avcodec_find_decoder h266: no such decoder");
});

test("a decoder that was disposed, twice, leaves nothing behind and refuses work", async () => {
  const sink = new PictureSums(NV12);
  const clip = clips.get(pyramid);
  const left = await leftBehind("avcodec", () => {
    const decoder = openDecoder("h264", sink);
    feed(decoder, sink, clip, piecesOf(clip, PIECE).slice(0, 10));
    decoder[Symbol.dispose]();
    decoder[Symbol.dispose]();
    decoder.take(addressOf(clip.bytes), 100, 0);
    expect(() => decoder.run()).toThrow("disposed");
  });
  // Fewer than before: the runtime has closed a pipe of ffmpeg late.
  expect(left.descriptors).toBeLessThanOrEqual(0);
  expect(left.mappings).toBe(0);
});
