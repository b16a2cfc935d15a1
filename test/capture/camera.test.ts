import { expect, test } from "bun:test";
import { errno } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { openCamera } from "../../src/capture/camera.ts";
import { SourceEnded, UnavailableError } from "../../src/errors.ts";
import { described, quiet, sentBytes, wish } from "../support/camera-options.ts";
import { DRIVER_MEMORY, FakeCamera, patternByte } from "../support/fake-camera.ts";
import { leftBehind, nothing } from "../support/resources.ts";

quiet();

test("a frame is what the driver wrote, with its number, time and flags", async () => {
  const left = await leftBehind(DRIVER_MEMORY, () => {
    const device = new FakeCamera();
    using camera = openCamera(device, wish);
    expect(described(camera.picture)).toBe("64x48 YUYV 6144");
    expect(camera.memory).toBe("mmap");
    expect(camera.frames.length).toBe(4);
    camera.start();
    for (let n = 0; n < 9; n++) {
      device.produce();
      using frame = camera.next();
      if (frame === undefined) throw new Error("no frame");
      expect(frame.sequence).toBe(n);
      expect(frame.tsSec).toBe(1000 + n);
      expect(frame.tsUsec).toBe(n);
      expect(frame.flags).toBe(v.V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC);
      const expected = Uint8Array.from({ length: 6144 }, (_, i) => patternByte(n, 0, i));
      expect(sentBytes(frame)).toEqual(expected);
      expect(camera.next()).toBeUndefined();
    }
    expect(camera.drops).toBe(0);
    expect(camera.errors).toBe(0);
  });
  expect(left).toEqual(nothing);
});

test("a buffer goes back to the driver when its frame is disposed, not before, and once", () => {
  const device = new FakeCamera();
  using camera = openCamera(device, wish);
  camera.start();
  expect(device.queued).toBe(4);
  device.produce();
  const frame = camera.next();
  expect(device.queued).toBe(3);
  frame?.[Symbol.dispose]();
  frame?.[Symbol.dispose]();
  expect(device.queued).toBe(4);
});

test("disposal turns the stream off, unmaps, frees the buffers and closes, in that order", () => {
  const device = new FakeCamera();
  const camera = openCamera(device, wish);
  camera.start();
  const before = device.calls.length;
  camera[Symbol.dispose]();
  camera[Symbol.dispose]();
  // The fake refuses REQBUFS 0 with EBUSY, and keeps its buffers, while any of its memory is mapped.
  expect(device.calls.slice(before)).toEqual(["STREAMOFF", "REQBUFS 0 MMAP", "close"]);
  expect(device.buffers).toEqual([]);
});

test("stop and start again hands every buffer to the driver again", () => {
  const device = new FakeCamera();
  using camera = openCamera(device, wish);
  for (let round = 0; round < 3; round++) {
    camera.start();
    expect(device.queued).toBe(4);
    device.produce();
    camera.next()?.[Symbol.dispose]();
    camera.stop();
    expect(device.queued).toBe(0);
  }
});

test("a frame that is still lent while the stream stops can be read, and is queued at the next start after its return", () => {
  const device = new FakeCamera();
  using camera = openCamera(device, wish);
  camera.start();
  device.produce();
  const frame = camera.next();
  camera.stop();
  if (frame === undefined) throw new Error("no frame");
  expect(sentBytes(frame)[5]).toBe(patternByte(0, 0, 5));
  camera.start();
  expect(device.queued).toBe(3);
  frame[Symbol.dispose]();
  expect(device.queued).toBe(4);
});

test("a frame disposed after stop is not given to a driver that does not stream", () => {
  const device = new FakeCamera();
  using camera = openCamera(device, wish);
  camera.start();
  device.produce();
  const frame = camera.next();
  camera.stop();
  const before = device.callsOf("QBUF").length;
  frame?.[Symbol.dispose]();
  expect(device.callsOf("QBUF").length).toBe(before);
  camera.start();
  expect(device.queued).toBe(4);
});

test("a frame disposed after its camera is gone does nothing", () => {
  const device = new FakeCamera();
  const camera = openCamera(device, { ...wish, memory: "dmabuf" });
  camera.start();
  device.produce();
  const frame = camera.next();
  camera[Symbol.dispose]();
  expect(() => frame?.[Symbol.dispose]()).not.toThrow();
});

test("a frame with V4L2_BUF_FLAG_ERROR is counted, queued again and not handed out", () => {
  const device = new FakeCamera();
  using camera = openCamera(device, wish);
  camera.start();
  device.produce({ flags: v.V4L2_BUF_FLAG_ERROR });
  device.produce();
  using frame = camera.next();
  expect(frame?.sequence).toBe(1);
  expect(camera.errors).toBe(1);
  expect(camera.drops).toBe(0);
  expect(device.queued).toBe(3);
});

test("a driver that returns only damaged frames does not block the loop", () => {
  const device = new FakeCamera();
  let answers = 0;
  // As fast as a buffer is queued the driver gives it back, damaged.
  device.amend(v.VIDIOC_QBUF, () => {
    if (device.streaming && ++answers < 1000) device.produce({ flags: v.V4L2_BUF_FLAG_ERROR });
  });
  using camera = openCamera(device, wish);
  camera.start();
  device.produce({ flags: v.V4L2_BUF_FLAG_ERROR });
  expect(camera.next()).toBeUndefined();
  expect(answers).toBeLessThan(20);
  expect(camera.errors).toBe(answers);
});

test.each([
  { sequences: [0, 1, 2], drops: 0 },
  { sequences: [5, 6], drops: 0 }, // frames before the first are not counted
  { sequences: [0, 3, 4, 9], drops: 6 },
  { sequences: [0xffff_fffe, 0xffff_ffff, 0, 1], drops: 0 },
  { sequences: [0xffff_fffe, 2], drops: 3 },
  { sequences: [7, 7, 7], drops: 0 }, // a driver without sequence numbers
  { sequences: [9, 3, 4], drops: 0 }, // or one that starts again
])("sequence numbers $sequences are $drops drops", ({ sequences, drops }) => {
  const device = new FakeCamera();
  using camera = openCamera(device, wish);
  camera.start();
  for (const sequence of sequences) {
    device.produce({ sequence });
    using frame = camera.next();
    expect(frame?.sequence).toBe(sequence);
  }
  expect(camera.drops).toBe(drops);
});

test("a damaged frame in a gap is counted as damaged, not as dropped", () => {
  const device = new FakeCamera();
  using camera = openCamera(device, wish);
  camera.start();
  device.produce({ sequence: 4 });
  device.produce({ sequence: 5, flags: v.V4L2_BUF_FLAG_ERROR });
  device.produce({ sequence: 7 });
  camera.next()?.[Symbol.dispose]();
  camera.next()?.[Symbol.dispose]();
  expect({ drops: camera.drops, errors: camera.errors }).toEqual({ drops: 1, errors: 1 });
});

test.each([4, 63, 0xffff_ffff])("DQBUF answering buffer %p of 4 ends the source", (index) => {
  const device = new FakeCamera();
  using camera = openCamera(device, wish);
  camera.start();
  device.produce({ index });
  expect(() => camera.next()).toThrow(SourceEnded);
});

test("DQBUF answering a buffer that is lent out, or was never queued, ends the source", () => {
  for (const giveBack of [false, true]) {
    const device = new FakeCamera();
    using camera = openCamera(device, wish);
    if (giveBack) device.fail("QBUF", errno.EINVAL, 5);
    camera.start();
    device.produce();
    const frame = camera.next();
    if (giveBack) {
      frame?.[Symbol.dispose]();
      expect(() => camera.next()).toThrow("VIDIOC_QBUF /dev/video7: EINVAL");
      continue;
    }
    device.produce({ index: frame?.index ?? 0 });
    expect(() => camera.next()).toThrow(/buffer 0 was not queued; the driver is broken/);
  }
});

test("a short frame keeps its size; one longer than its buffer, or empty, is damaged", () => {
  const device = new FakeCamera();
  using camera = openCamera(device, wish);
  camera.start();
  for (const bytesused of [6145, 0xffff_ffff, 0, 100, 1, 6144]) {
    device.produce({ bytesused });
    using frame = camera.next();
    if (bytesused >= 1 && bytesused <= 6144) expect(frame?.bytesused).toBe(bytesused);
    else expect(frame).toBeUndefined();
  }
  expect(camera.errors).toBe(3);
});

test.each([
  {
    call: "DQBUF",
    code: errno.ENODEV,
    mayReturn: true,
    text: /ENODEV .*; the camera was removed$/,
  },
  { call: "DQBUF", code: errno.EIO, mayReturn: true, text: /^VIDIOC_DQBUF \/dev\/video7: EIO / },
  { call: "DQBUF", code: errno.EPIPE, mayReturn: true, text: /EPIPE/ },
  { call: "DQBUF", code: errno.EINVAL, mayReturn: false, text: /EINVAL/ },
])("$call failing with $code ends the source", ({ call, code, mayReturn, text }) => {
  const device = new FakeCamera();
  using camera = openCamera(device, wish);
  camera.start();
  device.fail(call, code);
  try {
    camera.next();
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(SourceEnded);
    expect((error as SourceEnded).mayReturn).toBe(mayReturn);
    expect((error as Error).message).toMatch(text);
  }
});

test("a camera that is removed while a frame is lent: returning the frame does not throw, the next one does", async () => {
  const left = await leftBehind(DRIVER_MEMORY, () => {
    const device = new FakeCamera();
    using camera = openCamera(device, wish);
    camera.start();
    device.produce();
    const frame = camera.next();
    device.fail("QBUF", errno.ENODEV).fail("STREAMOFF", errno.ENODEV);
    frame?.[Symbol.dispose]();
    expect(() => camera.next()).toThrow(/VIDIOC_QBUF .*ENODEV.*the camera was removed/);
  });
  expect(left).toEqual(nothing);
});

test("a source-change event ends the source, which may be opened again; other events are ignored", () => {
  const device = new FakeCamera();
  using camera = openCamera(device, wish);
  expect(device.callsOf("SUBSCRIBE_EVENT").length).toBe(1);
  camera.start();
  device.event(2); // V4L2_EVENT_EOS
  expect(camera.next()).toBeUndefined();
  device.event(v.V4L2_EVENT_SOURCE_CHANGE);
  let thrown: unknown;
  try {
    camera.next();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(SourceEnded);
  expect((thrown as SourceEnded).mayReturn).toBe(true);
});

test("a device without events works", () => {
  const device = new FakeCamera()
    .fail("SUBSCRIBE_EVENT", errno.ENOTTY)
    .fail("DQEVENT", errno.ENOTTY);
  using camera = openCamera(device, wish);
  camera.start();
  expect(camera.next()).toBeUndefined();
});

test("STREAMON failing makes the device unavailable; a later start may work", () => {
  const device = new FakeCamera().fail("STREAMON", errno.EBUSY, 1);
  using camera = openCamera(device, wish);
  expect(() => camera.start()).toThrow(UnavailableError);
  camera.start();
  device.produce();
  using frame = camera.next();
  expect(frame?.sequence).toBe(0);
});
