import { expect, test } from "bun:test";
import { formats } from "../../src/format/formats.ts";
import { fourccInstead } from "../../src/format/other-names.ts";

test.each([
  ["yuyv", "YUYV"],
  ["yuyv422", "YUYV"],
  ["YUY2", "YUYV"],
  ["nv12", "NV12"],
  ["nv21", "NV21"],
  ["I420", "YU12"],
  ["yuv420p", "YU12"],
  ["YUV420", "YU12"],
  ["yvu420", "YV12"],
  ["bgr0", "XR24"],
  ["BGRx", "XR24"],
  ["rgb24", "RGB3"],
  ["RGB", "RGB3"],
  ["gray", "GREY"],
  ["GRAY8", "GREY"],
  ["gray16le", "Y16"],
  ["gray16", "Y16"],
  ["p010", "P010"],
  ["mjpeg", "MJPG"],
  ["h264", "H264"],
  ["h265", "HEVC"],
])("%s of ffmpeg, GStreamer or V4L2's macros is %s", (other, name) => {
  expect(fourccInstead(other)).toBe(name);
});

test("a fourcc is taken as it is, also one that no row knows", () => {
  for (const { name } of formats) expect(fourccInstead(name)).toBeUndefined();
  for (const name of ["MJPG", "H264", "HEVC", "Y16 ", "BA81", "pgAA", "YUYVX"])
    expect(fourccInstead(name)).toBeUndefined();
});
