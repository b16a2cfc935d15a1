// Output nodes: what is one, which format it has after S_FMT, and how pictures get into it. The fakes do what v4l2loopback
// 0.13.2 and 0.15.0 and vivid of Linux 6.12 were seen to do.
import { expect, test } from "bun:test";
import { errno } from "../../ffi/errno.ts";
import { addressOf } from "../../ffi/libc.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { fourcc } from "../../src/format/formats.ts";
import { examineOutput, openOutputNode } from "../../src/v4l2/output-device.ts";
import { agreeOnNodeFormat, nodeFormat, setNodeRate } from "../../src/v4l2/output-format.ts";
import { ReaderCount } from "../../src/v4l2/output-readers.ts";
import { openOutputStream } from "../../src/v4l2/output-stream.ts";
import { FakeLoopback } from "../support/fake-loopback.ts";
import { FakeOutput } from "../support/fake-output.ts";
import { leftBehind, nothing } from "../support/resources.ts";

const wish = (width: number, height: number, name = "YUYV") => ({
  width,
  height,
  pixelformat: fourcc(name),
  sizeimage: 0,
});
const bytesOf = (length: number, value: number) =>
  new Uint8Array(new ArrayBuffer(length)).fill(value);

test("v4l2loopback is written by write(), any other output by its queue", () => {
  using loopback = new FakeLoopback().open();
  expect(examineOutput(loopback)).toMatchObject({ how: "write", multiplanar: false, type: 2 });
  using single = new FakeOutput([4096], false);
  expect(examineOutput(single)).toMatchObject({ how: "queue", multiplanar: false, type: 2 });
  using multi = new FakeOutput([4096, 4096], true);
  expect(examineOutput(multi)).toMatchObject({ how: "queue", multiplanar: true, type: 10 });
});

test.each([
  [v.V4L2_CAP_VIDEO_CAPTURE, "fake", /screen is a source of pictures, not an output/],
  [v.V4L2_CAP_VIDEO_M2M | v.V4L2_CAP_VIDEO_OUTPUT, "fake", /screen is a codec/],
  [v.V4L2_CAP_VIDEO_M2M_MPLANE, "fake", /screen is a codec/],
  [v.V4L2_CAP_VIDEO_CAPTURE, "v4l2 loopback", /screen is written by another program already/],
])("a node with flags %d of driver %s is refused by name", (flags, driver, text) => {
  using node = new FakeOutput([4096], false);
  node.flags = flags | v.V4L2_CAP_STREAMING;
  node.driver = driver;
  expect(() => examineOutput(node)).toThrow(text);
});

test("an output without streaming is refused", () => {
  using node = new FakeOutput([4096], false);
  node.flags = v.V4L2_CAP_VIDEO_OUTPUT;
  expect(() => examineOutput(node)).toThrow("takes no pictures by STREAMON");
});

test("a node that is missing, or a device that is no video device, is refused with what to do", () => {
  expect(() => openOutputNode("/dev/video4711")).toThrow(/ENOENT.*; make the device first/);
  using node = openOutputNode("/dev/null");
  expect(() => examineOutput(node)).toThrow(
    /^VIDIOC_QUERYCAP \/dev\/null: E.*; not a video device/,
  );
});

test("a second writer of an exclusive node gets an error that says so", () => {
  const device = new FakeLoopback();
  using first = device.open();
  agreeOnNodeFormat(first, examineOutput(first), wish(4, 2));
  const bytes = bytesOf(16, 1);
  first.write(addressOf(bytes), 16);
  using second = device.open();
  expect(() => examineOutput(second)).toThrow("is written by another program already");
});

test("a second writer of a node that announces both gets that error when it sets the format", () => {
  const device = new FakeLoopback();
  device.exclusive = false;
  using first = device.open();
  const what = examineOutput(first);
  agreeOnNodeFormat(first, what, wish(4, 2));
  const bytes = bytesOf(16, 1);
  first.write(addressOf(bytes), 16);
  using second = device.open();
  expect(() => agreeOnNodeFormat(second, what, wish(8, 2))).toThrow(
    /^VIDIOC_S_FMT \/dev\/video10: EINVAL.*; another program writes to guest A, or it has no 8x2 YUYV$/,
  );
});

test("S_FMT that succeeds and keeps the old format: the old one is the answer", () => {
  const device = new FakeLoopback();
  using first = device.open();
  const what = examineOutput(first);
  expect(agreeOnNodeFormat(first, what, wish(8, 4))).toMatchObject({ width: 8, bytes: 64 });
  device.setReaders(1);
  expect(agreeOnNodeFormat(first, what, wish(16, 8))).toMatchObject({ width: 8, height: 4 });
});

test("a sizeimage that is rounded up to pages does not make a picture longer", () => {
  const device = new FakeLoopback();
  device.rounded = true;
  using node = device.open();
  const format = agreeOnNodeFormat(node, examineOutput(node), wish(6, 4, "NV12"));
  expect(format).toMatchObject({ bytes: 36, memory: [36], tight: true });
});

test("rows that are padded are laid out as the driver says, chroma in proportion", () => {
  const answer = { fourcc: fourcc("YU12"), width: 6, height: 4 };
  const format = nodeFormat("/dev/video9", {
    ...answer,
    planes: [{ bytesperline: 8, sizeimage: 4096 }],
  });
  expect(format.tight).toBe(false);
  expect(format.planes).toEqual([
    { offset: 0, rowBytes: 8, rows: 4 },
    { offset: 32, rowBytes: 4, rows: 2 },
    { offset: 40, rowBytes: 4, rows: 2 },
  ]);
  expect(format.bytes).toBe(48);
});

test("a picture in two memory planes: each has its own size", () => {
  const planes = [
    { bytesperline: 8, sizeimage: 64 },
    { bytesperline: 6, sizeimage: 64 },
  ];
  const answer = { fourcc: fourcc("NM12"), width: 6, height: 4, planes };
  expect(nodeFormat("/dev/video9", answer)).toMatchObject({ memory: [32, 12], bytes: 44 });
});

test.each([
  [
    "fewer bytes than a picture has",
    { width: 64, height: 48, planes: [{ sizeimage: 6143, bytesperline: 0 }] },
  ],
  ["no size", { width: 0, height: 0, planes: [{ sizeimage: 0, bytesperline: 0 }] }],
  ["no planes", { width: 64, height: 48, planes: [] }],
  [
    "three memory planes for one",
    { width: 2, height: 2, planes: Array(3).fill({ sizeimage: 99, bytesperline: 0 }) },
  ],
])("a driver that answers %s is refused", (_, answer) => {
  expect(() => nodeFormat("/dev/video9", { fourcc: fourcc("YUYV"), ...answer })).toThrow(
    /^VIDIOC_S_FMT \/dev\/video9: the driver answered/,
  );
});

test("write(): the picture's bytes, one call each", () => {
  const device = new FakeLoopback();
  using node = device.open();
  const what = examineOutput(node);
  using stream = openOutputStream(node, what, agreeOnNodeFormat(node, what, wish(4, 2)));
  const picture = bytesOf(16, 7);
  expect(stream.put(addressOf(picture), 16)).toBe(true);
  expect(device.pictures).toEqual([new Uint8Array(16).fill(7)]);
});

test.each([
  ["ENODEV", errno.ENODEV],
  ["EIO", errno.EIO],
])("write() that fails with %s throws, and EAGAIN leaves the picture out", (name, code) => {
  const device = new FakeLoopback();
  using node = device.open();
  const what = examineOutput(node);
  using stream = openOutputStream(node, what, agreeOnNodeFormat(node, what, wish(4, 2)));
  const picture = bytesOf(16, 7);
  device.faults.set("write", code);
  expect(() => stream.put(addressOf(picture), 16)).toThrow(`write /dev/video10: ${name}`);
  device.faults.set("write", errno.EAGAIN);
  expect(stream.put(addressOf(picture), 16)).toBe(false);
});

test("write() that cuts a picture throws: a short raw picture is never shown twice", () => {
  const device = new FakeLoopback();
  using node = device.open();
  const what = examineOutput(node);
  using stream = openOutputStream(node, what, agreeOnNodeFormat(node, what, wish(4, 2)));
  const picture = bytesOf(32, 7);
  expect(() => stream.put(addressOf(picture), 32)).toThrow("took 16 bytes of a picture of 32");
});

test("a queue: pictures in order, none while the driver has all buffers, nothing left behind", async () => {
  const left = await leftBehind("fake-output", () => {
    using node = new FakeOutput([4096], false);
    const what = examineOutput(node);
    const format = agreeOnNodeFormat(node, what, wish(32, 16));
    {
      using stream = openOutputStream(node, what, format);
      node.holds = 4;
      const took = [1, 2, 3, 4, 5].map((value) =>
        stream.put(addressOf(bytesOf(1024, value)), 1024),
      );
      expect(took).toEqual([true, true, true, true, false]);
      node.holds = 1;
      expect(stream.put(addressOf(bytesOf(1024, 6)), 1024)).toBe(true);
      expect(node.pictures.map((picture) => picture[0])).toEqual([1, 2, 3, 4, 6]);
      expect(node.pictures.every(({ length }) => length === 1024)).toBe(true);
      const times = node.shown.map(({ seconds, microseconds }) => seconds * 1e6 + microseconds);
      expect(times).toEqual(times.toSorted((a, b) => a - b));
      expect(times[0]).toBeGreaterThan(0);
    }
    expect([node.streaming, node.buffers]).toEqual([false, 0]);
  });
  expect(left).toEqual(nothing);
});

test("a queue with two memory planes: each gets its part", () => {
  using node = new FakeOutput([4096, 4096], true);
  const what = examineOutput(node);
  const format = agreeOnNodeFormat(node, what, wish(8, 4, "NM12"));
  using stream = openOutputStream(node, what, format);
  const picture = Uint8Array.from({ length: 48 }, (_, i) => i);
  expect(stream.put(addressOf(picture), 48)).toBe(true);
  expect(node.shown[0]?.planes.map(({ bytesused }) => bytesused)).toEqual([32, 16]);
  expect(node.pictures[0]).toEqual(picture);
});

test("a driver that returns a buffer it did not have is broken", () => {
  using node = new FakeOutput([4096], false);
  const what = examineOutput(node);
  using stream = openOutputStream(node, what, agreeOnNodeFormat(node, what, wish(32, 16)));
  const picture = bytesOf(1024, 1);
  stream.put(addressOf(picture), 1024);
  node.wrongIndex = 3;
  expect(() => stream.put(addressOf(picture), 1024)).toThrow("returned buffer 3, which it did not");
});

test.each(["VIDIOC_REQBUFS", "VIDIOC_QUERYBUF"])(
  "%s that fails leaves nothing behind",
  async (name) => {
    const left = await leftBehind("fake-output", () => {
      using node = new FakeOutput([4096], false);
      const what = examineOutput(node);
      const format = agreeOnNodeFormat(node, what, wish(32, 16));
      node.faults.set(name, errno.EBUSY);
      expect(() => openOutputStream(node, what, format)).toThrow(`${name} /dev/video9`);
      expect(node.buffers).toBe(0);
    });
    expect(left).toEqual(nothing);
  },
);

test("the rate is set as a frame interval", () => {
  const device = new FakeLoopback();
  using node = device.open();
  expect(setNodeRate(node, examineOutput(node), 14.985)).toBe(true);
  expect(device.rate).toBe(14.985);
  device.faults.set("VIDIOC_S_PARM", errno.ENOTTY);
  expect(setNodeRate(node, examineOutput(node), 25)).toBe(false);
});

test("readers are counted where the driver has the event, from the first on", () => {
  const device = new FakeLoopback();
  device.readers = 1;
  using node = device.open();
  const count = ReaderCount.of(node, examineOutput(node));
  expect(count?.take()).toBe(1);
  expect(count?.take()).toBeUndefined();
  device.setReaders(0);
  device.setReaders(1);
  device.setReaders(0);
  expect(count?.take()).toBe(0);
  device.counts = false;
  expect(ReaderCount.of(node, examineOutput(node))).toBeUndefined();
  using screen = new FakeOutput([4096], false);
  expect(ReaderCount.of(screen, examineOutput(screen))).toBeUndefined();
});
