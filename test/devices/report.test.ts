// What `framepass devices` finds out about a node and how it shows it. The fakes answer as uvcvideo, vivid and vicodec.
import { expect, test } from "bun:test";
import { errno } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { examineDevice, examineNode } from "../../src/devices/examine.ts";
import type { DeviceReport } from "../../src/devices/report.ts";
import { deviceText } from "../../src/devices/table.ts";
import {
  codec,
  FakeNode,
  type FakeNodeOptions,
  sink,
  vivid,
  webcam,
} from "../support/fake-node.ts";
import { TempDir } from "../support/tool.ts";

const report = (options: FakeNodeOptions, controls = false) =>
  examineDevice(new FakeNode(options), { controls });
const text = (of: DeviceReport, more = {}) =>
  deviceText({ ...of, byId: [], byPath: [], usedBy: [], ...more });

test("a webcam is shown with its formats, the sizes of the same rate together, and the sender's line", () => {
  const byId = ["usb-046d_HD_Pro_Webcam_C920-video-index0"];
  const usedBy = [{ pid: 17, program: "firefox" }];
  expect(text(report(webcam()), { byId, usedBy })).toBe(
    `/dev/video0  HD Pro Webcam C920
  camera     uvcvideo, usb-0000:00:14.0-1, single-planar
  by-id      usb-046d_HD_Pro_Webcam_C920-video-index0
  used by    firefox (17)
  gives      YUYV (YUYV 4:2:2), MJPG (Motion-JPEG, compressed)
               640x480, 320x240 at 30, 24, 15 fps
               1280x720 at 10, 5 fps
             H264 (H.264, compressed)
               1920x1080 at 29.97 fps
  use        sender -d /dev/video0 -f YUYV -W 640 -H 480 -a HOST -p 5000`,
  );
});

test("controls are shown as -c takes them", () => {
  const lines = text(report(webcam(), true)).split("\n");
  const from = lines.findIndex((line) => line.startsWith("  controls"));
  expect(lines.slice(from, from + 5)).toEqual([
    "  controls   brightness=128 (int, 0 to 255, default 128)",
    "             white_balance_automatic=1 (bool, default 1)",
    "             power_line_frequency=2 (menu, 0 Disabled, 1 50 Hz, 2 60 Hz,",
    "               default 2)",
    "             white_balance_temperature=4000 (int, 2000 to 6500, default 0)",
  ]);
  expect(lines.join("\n")).toContain("focus_absolute=0 (int, 0 to 250 step 5, default 0)");
});

test("a decoder takes bitstream and gives pictures, and its line starts the daemon", () => {
  expect(text(report(codec("decoder")))).toBe(
    `/dev/video0  vicodec
  decoder    vicodec, platform:vicodec, single-planar
  takes      FWHT (compressed)
               640x360 to 4096x2160 in steps of 8x8
  gives      YU12 (Planar YUV 4:2:0), NV12 (Y/UV 4:2:0)
               640x360 to 4096x2160 in steps of 8x8
  use        vhost-user-video -s /run/video.sock -b v4l2-decoder -d /dev/video0`
      .replace("FWHT (compressed)", "FWHT (compressed)")
      .replace("YU12, NV12", "YU12 (YU12), NV12 (NV12)"),
  );
});

test.each([
  ["an encoder", codec("encoder")],
  ["a stateless decoder", codec("stateless decoder")],
  ["a camera with no format", { ...webcam(), formats: {} }],
])("%s has no line, because no tool uses it", (_, options) => {
  expect(report(options).use).toBeUndefined();
});

test.each([
  ["the usual size, when there is no list", undefined, "640 -H 480"],
  [
    "the largest that is not too large",
    [{ size: [4096, 2160] }, { size: [1280, 720] }],
    "1280 -H 720",
  ],
  [
    "the smallest, when all are large",
    [{ size: [8192, 4320] }, { size: [3840, 2160] }],
    "3840 -H 2160",
  ],
  ["the usual size within a range", { range: [16, 16, 2048, 2048, 8] }, "640 -H 480"],
])("the sender's line has %s", (_, sizes, words) => {
  const format = { name: "NV12", description: "", ...(sizes !== undefined && { sizes }) };
  const formats = { [v.V4L2_BUF_TYPE_VIDEO_CAPTURE]: [format] };
  expect(report({ ...webcam(), formats } as FakeNodeOptions).use).toContain(`-f NV12 -W ${words} `);
});

test("JSON can hold a report with controls of 64 bits, and nothing of it is lost", () => {
  const of = report(vivid(), true);
  expect(JSON.parse(JSON.stringify(of))).toEqual(of);
  const long = of.controls?.find(({ name }) => name === "integer_64_bits");
  expect([long?.min, long?.max]).toEqual(["-9223372036854775808", "9223372036854775807"]);
  expect(of).toMatchObject({ api: ["single-planar"], streaming: true, cut: false });
});

test("an output's line receives frames into it", () => {
  expect(report(sink()).use).toBe("receiver -p 5000 -o /dev/video0");
});

test("lines fit into 80 columns where words allow it", () => {
  for (const options of [webcam(), vivid(), sink(), codec("encoder")])
    for (const line of text(report(options, true)).split("\n"))
      expect(line.length, line).toBeLessThanOrEqual(80);
});

test("a driver whose lists have no end is asked for a limited time, and the report says that it is cut", () => {
  const node = new FakeNode(webcam());
  let number = 1;
  node.answer(v.VIDIOC_ENUM_FMT, (q) => {
    q.pixelformat = 0x20202041 + (number++ % 200);
    return 0;
  });
  node.answer(v.VIDIOC_ENUM_FRAMESIZES, (q) => {
    q.type = v.V4L2_FRMSIZE_TYPE_DISCRETE;
    q["discrete.width"] = number++;
    q["discrete.height"] = 2;
    return 0;
  });
  node.answer(v.VIDIOC_ENUM_FRAMEINTERVALS, (q) => {
    q.type = v.V4L2_FRMIVAL_TYPE_DISCRETE;
    q["discrete.numerator"] = 1;
    q["discrete.denominator"] = number++;
    return 0;
  });
  const startMs = performance.now();
  const of = examineDevice(node, { controls: false });
  expect(performance.now() - startMs).toBeLessThan(10_000);
  expect(of.cut).toBe(true);
  expect(of.formats.length).toBeLessThanOrEqual(256);
  expect(text(of)).toContain("... the driver lists more than was read");
});

test("a driver that answers the same entry for every index has it once", () => {
  const node = new FakeNode(webcam());
  node.answer(v.VIDIOC_ENUM_FMT, (q) => {
    q.pixelformat = 0x56595559;
    return 0;
  });
  const { formats, cut } = examineDevice(node, { controls: false });
  expect(cut).toBe(false);
  expect(formats.map(({ format, sizes }) => [format, sizes.length])).toEqual([["YUYV", 3]]);
});

test("names without NUL or with control characters, and sizes and rates of 0, are shown safely", () => {
  const of = report({
    ...webcam(),
    card: "\x1b[31mred\n".padEnd(40, "x"),
    formats: {
      [v.V4L2_BUF_TYPE_VIDEO_CAPTURE]: [
        {
          name: "A\\B",
          description: "\x07".padEnd(40, "y"),
          sizes: [
            { size: [0, 0], intervals: [[1, 30]] },
            {
              size: [64, 48],
              intervals: [
                [0, 30],
                [0, 0],
                [1, 0],
                [2, 5],
              ],
            },
          ],
        },
        { name: "NV12", description: "", sizes: { range: [0, 0, 0, 0, 0] } },
        { name: "YU12", description: "", sizes: { range: [32, 32, 16, 16, 0] } },
      ],
    },
  });
  expect(of.card).toBe(`?[31mred?${"x".repeat(23)}`);
  expect(of.formats.map(({ sizes }) => sizes)).toEqual([
    [{ width: 64, height: 48, fps: [2.5] }],
    [],
    [{ width: 32, height: 32, fps: [] }],
  ]);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not be there
  expect(text(of)).not.toMatch(/[\x00-\x09\x0b-\x1f]/);
});

test("continuous rates are shown as a range", () => {
  const node = new FakeNode(webcam()).answer(v.VIDIOC_ENUM_FRAMEINTERVALS, (q) => {
    if (q.index > 0) return -errno.EINVAL;
    q.type = 2;
    Object.assign(q, { "stepwise.min.numerator": 1, "stepwise.min.denominator": 60 });
    Object.assign(q, { "stepwise.max.numerator": 1, "stepwise.max.denominator": 5 });
    return 0;
  });
  const of = examineDevice(node, { controls: false });
  expect(of.formats[0]?.sizes[0]?.fps).toEqual({ min: 5, max: 60 });
  expect(text(of)).toContain(" at 5 to 60 fps");
});

test.each([
  ["/dev/null", "not a V4L2 device (VIDIOC_QUERYCAP: ENOTTY)"],
  ["/etc/passwd", "not a character device"],
  ["/nonesuch", "no such device"],
])("%s is reported with the reason, and without an error", (path, problem) => {
  expect(examineNode(path, { controls: true })).toMatchObject({ node: path, problem, formats: [] });
});

test("a pipe in the place of a node is not waited for", () => {
  using temp = new TempDir();
  Bun.spawnSync(["mkfifo", temp.file("video0")]);
  const { problem } = examineNode(temp.file("video0"), { controls: false });
  expect(problem).toBe("not a character device");
});
