// Guests that put one unit into each buffer get a picture without the buffer after it; guests that do not, lose nothing.
import { expect, test } from "bun:test";
import { addressOf } from "../../../../ffi/libc.ts";
import { softwareCodecs } from "../../../../src/video/codec/libavcodec/codecs.ts";
import { YUV420 } from "../../../../src/video/formats.ts";
import { type ClipKind, Clips, clipKinds, referenceSums, unitsOf } from "../../../support/clips.ts";
import { feed, openDecoder, runOut } from "../../../support/decode-clip.ts";
import { PictureSums } from "../../../support/picture-sums.ts";

const clips = new Clips();
const parsed = softwareCodecs.filter((codec) => codec.parsed).map(({ name }) => name);
const parsedKinds = clipKinds.filter(({ codec }) => parsed.includes(codec));

const immediate = clipKinds.find(({ name }) => name.includes("no delay")) as ClipKind;
/** Where pieces of `bytes` begin and end that each begin with a start code. */
function startCodes(bytes: Uint8Array<ArrayBuffer>): { at: number; end: number }[] {
  const starts: number[] = [];
  for (let i = 0; i + 2 < bytes.length; i++)
    if (bytes[i] === 0 && bytes[i + 1] === 0 && bytes[i + 2] === 1) starts.push(i);
  const begin = (i: number) => (i > 0 && bytes[i - 1] === 0 ? i - 1 : i);
  return starts.map((at, i) => ({ at: begin(at), end: begin(starts[i + 1] ?? bytes.length + 1) }));
}

test.each(parsedKinds)("$name: with a unit in each buffer all 300 pictures are right", (kind) => {
  const clip = clips.get(kind);
  const sink = new PictureSums(YUV420);
  using decoder = openDecoder(kind.codec, sink);
  feed(decoder, sink, clip, unitsOf(clip));
  decoder.drain();
  runOut(decoder, sink);
  expect(sink.failures).toEqual([]);
  expect(sink.sums).toEqual([...referenceSums(clip, kind).yuv420p]);
});

test("from the fifth unit on a picture comes with its own buffer", () => {
  const clip = clips.get(immediate);
  const sink = new PictureSums(YUV420);
  using decoder = openDecoder("h264", sink);
  const counts = unitsOf(clip).map((unit) => {
    feed(decoder, sink, clip, [unit]);
    return sink.sums.length;
  });
  expect(counts.slice(4)).toEqual(counts.slice(4).map((_, i) => i + 5));
});

test("with a slice in each buffer all 300 pictures are right", () => {
  const clip = clips.get(immediate);
  const sink = new PictureSums(YUV420);
  using decoder = openDecoder("h264", sink);
  const pieces = startCodes(clip.bytes);
  expect(pieces.length).toBeGreaterThan(600);
  feed(decoder, sink, clip, pieces);
  decoder.drain();
  runOut(decoder, sink);
  expect(sink.sums).toEqual([...referenceSums(clip, immediate).yuv420p]);
});

test("a guest that has put a unit into each buffer and then does not loses at most one picture", () => {
  const kind = clipKinds.find(({ name }) => name === "MPEG-2") as ClipKind;
  const intra: ClipKind = {
    ...kind,
    name: "MPEG-2 of key frames",
    encode: ["-c:v", "mpeg2video", "-g", "1"],
  };
  const clip = clips.get(intra);
  const sink = new PictureSums(YUV420);
  using decoder = openDecoder("mpeg2video", sink);
  const units = unitsOf(clip);
  const from = units[20]?.at ?? 0;
  feed(decoder, sink, clip, units.slice(0, 20));
  for (let at = from; at < clip.bytes.length; at += 1000) {
    const part = clip.bytes.slice(at, at + 1000);
    decoder.take(addressOf(part), part.length, at);
    runOut(decoder, sink);
  }
  decoder.drain();
  runOut(decoder, sink);
  const expected = referenceSums(clip, intra).yuv420p;
  const missing = expected.filter((sum) => !sink.sums.includes(sum));
  expect(missing.length).toBeLessThanOrEqual(1);
});
