// Which colours of a camera receiver_sdl shows wrong without an option. The numbers are those of <linux/videodev2.h>, as
// drivers answer them: uvcvideo SRGB (8), or what its colour matching descriptor says; vivid any of them.
import { expect, test } from "bun:test";
import { colourNote } from "../../src/capture/colour-note.ts";
import { conversionFor } from "../../src/display/display-options.ts";
import { fourcc } from "../../src/format/formats.ts";

const note = (format: string, colorspace: number, ycbcrEnc = 0, quantization = 0) =>
  colourNote(fourcc(format), { colorspace, ycbcrEnc, quantization });

test("a camera with V4L2's default mapping, HD webcams included, gets no line", () => {
  for (const format of ["YUYV", "NV12", "GREY"]) {
    for (const colorspace of [0, 1, 5, 6, 8, 11]) expect(note(format, colorspace)).toBeUndefined();
    expect(note(format, 3, 1, 2)).toBeUndefined(); // primaries of REC709, encoding of 601
    expect(note(format, 7, 1, 2)).toBeUndefined();
  }
  expect(note("YUYV", 8, 3)).toBeUndefined(); // xvYCC of 601
  expect(note("YUYV", 8, 5)).toBeUndefined(); // sYCC
});

test("a camera whose colours differ gets one line with the option of receiver_sdl", () => {
  expect(note("YUYV", 3)).toBe(
    "colours are BT.709 in limited range (colorspace 3, ycbcr_enc 0, quantization 0): receiver_sdl --colour bt709 fits",
  );
  expect(note("YUYV", 8, 2, 2)).toContain("--colour bt709 fits");
  expect(note("NV12", 7)).toContain("BT.601 in full range");
  expect(note("NV12", 8, 1, 1)).toContain("--colour bt601-full fits");
  expect(note("GREY", 8, 0, 1)).toContain("--colour bt601-full fits");
  expect(note("GREY", 3)).toBeUndefined(); // grey has no matrix
  expect(note("YUYV", 3, 0, 1)).toContain("--colour bt709 comes nearest");
  expect(note("YUYV", 10)).toContain("BT.2020 in limited range");
  expect(note("YUYV", 2)).toContain("SMPTE 240M");
});

test("RGB and JPEG, which is full range for its decoder, need no option", () => {
  for (const format of ["RGB3", "XR24", "MJPG", "H264"]) {
    expect(note(format, 7)).toBeUndefined();
    expect(note(format, 3, 2, 1)).toBeUndefined();
  }
});

test("--colour auto is BT.601 in limited range for every size", () => {
  expect(conversionFor("auto")).toBe(conversionFor("bt601"));
});
