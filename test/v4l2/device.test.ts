// Opening a node, QUERYCAP, and the advice for failed calls.
import { expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errno, SysError } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { deviceAdvice, openVideoDevice, queryCapability } from "../../src/v4l2/device.ts";
import { FakeCamera } from "../support/fake-camera.ts";
import { leftBehind, nothing } from "../support/resources.ts";

test("a file is not opened as a device", async () => {
  const left = await leftBehind("memfd", () => {
    const path = join(tmpdir(), `framepass-test-${process.pid}`);
    writeFileSync(path, "");
    try {
      expect(() => openVideoDevice(path)).toThrow(/: not a character device; name a video device/);
    } finally {
      rmSync(path);
    }
  });
  expect(left).toEqual(nothing);
});

test("a device may be disposed twice, and cannot be used afterwards", () => {
  const device = openVideoDevice("/dev/null");
  expect(device.fd).toBeGreaterThan(2);
  expect(() => device.map(4096, 0)).toThrow(/^mmap \/dev\/null: E/);
  device[Symbol.dispose]();
  device[Symbol.dispose]();
  expect(() => device.fd).toThrow("/dev/null is closed");
});

test.each([
  ["open", errno.ENOENT, /^connect the camera.*--device/, /^name a decoder .*libavcodec$/],
  ["open", errno.EISDIR, /^name a video device with --device$/, /^name a decoder/],
  ["VIDIOC_STREAMON", errno.ENOENT, /^$/, /^$/],
  ["VIDIOC_S_FMT", errno.EBUSY, /^close the program/, /^close the program/],
  ["mmap", errno.EACCES, /group video/, /group video/],
  ["open", errno.ENXIO, /load it or name another with --device$/, /with --v4l2-device$/],
  ["open", errno.EINVAL, /^$/, /^$/],
  ["VIDIOC_STREAMON", errno.ENOSPC, /USB bus has no bandwidth left: .*--format MJPG/, /^$/],
  ["VIDIOC_STREAMON", errno.ENOLINK, /no signal, or a link .* media-ctl -p/, /^$/],
  ["VIDIOC_STREAMON", errno.EPIPE, /formats along its media pipeline differ/, /^$/],
  ["VIDIOC_STREAMON", errno.EIO, /did not answer: connect it again/, /^$/],
  ["VIDIOC_STREAMON", errno.EINVAL, /try another --format/, /^$/],
  ["VIDIOC_STREAMON", errno.ENOMEM, /smaller size or fewer --buffers/, /^$/],
  ["VIDIOC_STREAMON", errno.ENODATA, /no signal at its input/, /^$/],
  ["VIDIOC_STREAMON", errno.EPROTO, /another cable or port/, /^$/],
  ["VIDIOC_STREAMON", errno.EBUSY, /^close the program/, /^close the program/],
])("%s failing with errno %d: advice for a camera and for a decoder", (call, code, ...texts) => {
  const error = new SysError(call, "/dev/video9", code);
  expect(deviceAdvice(error, "camera")).toMatch(texts[0]);
  expect(deviceAdvice(error, "decoder")).toMatch(texts[1]);
});

test("the capabilities are those of the node, or of the device where the driver gives none for the node", () => {
  using device = new FakeCamera();
  const own = (v.V4L2_CAP_VIDEO_CAPTURE | v.V4L2_CAP_STREAMING) >>> 0;
  expect(queryCapability(device)).toEqual({
    card: "fake camera",
    driver: "",
    bus: "",
    flags: own,
  });
  device.amend(v.VIDIOC_QUERYCAP, (answer) => {
    answer.capabilities = v.V4L2_CAP_VIDEO_M2M;
  });
  expect(queryCapability(device).flags).toBe(v.V4L2_CAP_VIDEO_M2M);
});

test("a card whose name has control characters does not get them into a line of text", () => {
  using device = new FakeCamera().amend(v.VIDIOC_QUERYCAP, ({ $bytes }) => {
    $bytes[16] = 0x1b;
    $bytes[17] = 0x0a;
  });
  expect(queryCapability(device).card).toBe("??ke camera");
});
