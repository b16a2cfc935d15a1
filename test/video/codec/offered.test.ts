// Which coded formats a guest is offered: all that a decoder has, or those of --formats.
import { expect, test } from "bun:test";
import type { Capabilities } from "../../../src/video/codec/codec.ts";
import { formatNames, offerOnly, parseFormats } from "../../../src/video/codec/offered.ts";

const sizes = [
  { width: { min: 16, max: 64, step: 1 }, height: { min: 16, max: 64, step: 1 } },
] as const;
/** H264 becomes NV12 or YUV420, VP9 only YUV420, FWHT only NV12. */
const capabilities: Capabilities = {
  input: [
    { format: 0x1002, mask: 0b11n, sizes },
    { format: 0x1005, mask: 0b10n, sizes },
    { format: 0x1006, mask: 0b01n, sizes },
  ],
  output: [
    { format: 3, mask: 0b101n, sizes },
    { format: 4, mask: 0b011n, sizes },
  ],
};
const shape = ({ input, output }: Capabilities) =>
  [input, output].map((rows) => rows.map(({ format, mask }) => [format, mask]));

test("formats are named as virtio-video names them, in any case and order", () => {
  expect(parseFormats("vp9, H264")).toEqual([0x1005, 0x1002]);
  for (const wrong of ["", "H264,", "NV12", "H.264"])
    expect(() => parseFormats(wrong)).toThrow("--formats must be of MPEG2, MPEG4, H264");
});

test.each([
  ["H265", "HEVC"],
  ["h.265", "HEVC"],
  ["H.264", "H264"],
  ["avc", "H264"],
  ["MPEG-2", "MPEG2"],
  ["vp80", "VP8"],
])("the error for %s asks whether %s was meant", (wrong, name) => {
  expect(() => parseFormats(`VP9,${wrong}`)).toThrow(`got "${wrong}"; you probably meant ${name}`);
});

test("the error for a word that is no format suggests nothing", () => {
  expect(() => parseFormats("theora")).toThrow(/got "theora"$/);
});

test("what is left keeps its order, and the masks name each other's rows", () => {
  expect(shape(offerOnly(capabilities, [0x1005, 0x1002]))).toEqual([
    [
      [0x1002, 0b11n],
      [0x1005, 0b10n],
    ],
    [
      [3, 0b01n],
      [4, 0b11n],
    ],
  ]);
});

test("pictures that no coded format is left for are not offered", () => {
  const only = offerOnly(capabilities, [0x1006]);
  expect(shape(only)).toEqual([[[0x1006, 1n]], [[3, 1n]]]);
  expect(formatNames(only)).toEqual(["FWHT"]);
});

test("a decoder without any of the formats says which it has", () => {
  expect(() => offerOnly(capabilities, [0x1003])).toThrow(
    "the decoder has none of these formats; name some of H264, VP9, FWHT with --formats",
  );
});
