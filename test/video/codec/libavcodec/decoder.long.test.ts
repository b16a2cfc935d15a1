// Whole clips through the decoder, 300 frames each: every picture is the one that ffmpeg decodes. Both use the same library, so
// this shows that we use it as ffmpeg does, and not that it is right.
import { describe, expect, test } from "bun:test";
import { NV12, YUV420, YVU420 } from "../../../../src/video/formats.ts";
import { Clips, clipKinds, type ReferenceSums, referenceSums } from "../../../support/clips.ts";
import { decodeClip, openDecoder } from "../../../support/decode-clip.ts";
import { PictureSums } from "../../../support/picture-sums.ts";

const clips = new Clips();

const K = 1024;
const ways = [
  { output: YUV420, piece: 4 * K },
  { output: NV12, piece: 64 * K },
  { output: YVU420, piece: 1024 * K },
];

describe.each(clipKinds)("$name", (kind) => {
  let reference: ReferenceSums | undefined;

  test.each(ways)("as format $output in pieces of $piece bytes", ({ output, piece }) => {
    const clip = clips.get(kind);
    const sink = new PictureSums(output);
    using decoder = openDecoder(kind.codec, sink);
    decodeClip(decoder, sink, clip, piece);
    expect(sink.failures).toEqual([]);
    expect(sink.sums.length).toBe(300);
    reference ??= referenceSums(clip, kind);
    expect(sink.sums).toEqual([...(output === NV12 ? reference.nv12 : reference.yuv420p)]);
    const { size = "176x144", later } = kind;
    expect(sink.sizes).toEqual(later === undefined ? [size] : [size, later]);
  });
});
