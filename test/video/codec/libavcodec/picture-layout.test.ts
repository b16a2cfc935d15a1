import { expect, test } from "bun:test";
import { pictureLayout } from "../../../../src/video/codec/libavcodec/picture-layout.ts";
import { NV12, YUV420 } from "../../../../src/video/formats.ts";

test("a picture of an odd size has whole chroma samples, in every format", () => {
  expect(pictureLayout(YUV420, 63, 47)).toEqual({
    stride: 64,
    rows: 48,
    planes: [
      { offset: 0, length: 64 * 48 },
      { offset: 64 * 48, length: 32 * 24 },
      { offset: 64 * 48 + 32 * 24, length: 32 * 24 },
    ],
    bytes: 64 * 48 * 1.5,
  });
  expect(pictureLayout(NV12, 63, 47)).toMatchObject({
    planes: [{ length: 64 * 48 }, { length: 64 * 24 }],
    bytes: 64 * 48 * 1.5,
  });
});

test("a coded format has no layout", () => {
  expect(() => pictureLayout(0x1002, 64, 48)).toThrow("has no pictures");
});
