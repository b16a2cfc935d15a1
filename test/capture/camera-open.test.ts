// Opening a camera: the calls to the driver, the answers it may give, and that a failure leaves nothing open or mapped.
import { expect, spyOn, test } from "bun:test";
import { errno } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { openCamera } from "../../src/capture/camera.ts";
import { log } from "../../src/cli/log.ts";
import { UnavailableError, UsageError } from "../../src/errors.ts";
import { described, quiet, wish } from "../support/camera-options.ts";
import { DRIVER_MEMORY, FakeCamera, rate } from "../support/fake-camera.ts";
import { leftBehind, nothing } from "../support/resources.ts";

quiet();

/** Opens and closes a camera; its error. Checks that nothing is left and the device was closed. */
async function refusal(device: FakeCamera, options = wish): Promise<Error> {
  let thrown: unknown;
  const left = await leftBehind(DRIVER_MEMORY, () => {
    try {
      openCamera(device, options)[Symbol.dispose]();
    } catch (error) {
      thrown = error;
    }
  });
  expect(left.mappings).toBe(0);
  expect(device.disposed).toBe(true);
  expect(thrown).toBeInstanceOf(Error);
  return thrown as Error;
}

test.each([
  [
    "QUERYCAP",
    errno.ENOTTY,
    /^VIDIOC_QUERYCAP \/dev\/video7: ENOTTY .*; not a V4L2 device: name another with --device$/,
  ],
  ["S_FMT", errno.EBUSY, /^VIDIOC_S_FMT \/dev\/video7: EBUSY .*; close the program that uses it$/],
  ["S_FMT", errno.EINVAL, /^VIDIOC_S_FMT \/dev\/video7: EINVAL/],
  ["REQBUFS", errno.EBUSY, /^VIDIOC_REQBUFS .*EBUSY .*; close the program that uses it$/],
  ["REQBUFS", errno.ENOMEM, /^VIDIOC_REQBUFS .*ENOMEM/],
  ["QUERYBUF", errno.EINVAL, /^VIDIOC_QUERYBUF .*EINVAL/],
  ["QBUF", errno.EINVAL, /^VIDIOC_QBUF .*EINVAL/],
  [
    "QBUF",
    errno.EACCES,
    /^VIDIOC_QBUF .*EACCES .*; add yourself to the group video, or run as root$/,
  ],
] as const)(
  "%s failing with %d makes the device unavailable, in one line",
  async (call, code, text) => {
    const error = await refusal(new FakeCamera().fail(call, code));
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error.message).toMatch(text);
    expect(error.message).not.toContain("\n");
  },
);

test.each([
  ["no capture", 0x0400_0002, /is not a video capture device; name another with --device/],
  ["no streaming", v.V4L2_CAP_VIDEO_CAPTURE, /has no streaming I\/O; name another/],
] as const)("a device with %s is refused", async (_, caps, text) => {
  const device = new FakeCamera().amend(v.VIDIOC_QUERYCAP, (answer) => {
    answer.device_caps = caps;
  });
  expect((await refusal(device)).message).toMatch(text);
});

test("capabilities count where a driver has no device_caps", () => {
  const device = new FakeCamera().amend(v.VIDIOC_QUERYCAP, (answer) => {
    answer.capabilities = (v.V4L2_CAP_VIDEO_CAPTURE | v.V4L2_CAP_STREAMING) >>> 0;
    answer.device_caps = 0;
  });
  using camera = openCamera(device, wish);
  expect(camera.name).toBe("/dev/video7 (fake camera)");
});

test.each([
  ["width 0", { "fmt.pix.width": 0 }],
  ["height 0", { "fmt.pix.height": 0 }],
  ["width 4294967295", { "fmt.pix.width": 0xffff_ffff }],
  ["height 16385", { "fmt.pix.height": 16385 }],
  ["sizeimage 0", { "fmt.pix.sizeimage": 0 }],
  ["sizeimage less than the picture", { "fmt.pix.sizeimage": 6143 }],
  ["rows far beyond the buffer", { "fmt.pix.bytesperline": 0xffff_ffff }],
  ["rows just beyond the buffer", { "fmt.pix.bytesperline": 129 }],
] as const)("S_FMT answering %s makes the device unavailable", async (_, answer) => {
  for (const memory of ["mmap", "auto"] as const) {
    const device = new FakeCamera().amend(v.VIDIOC_S_FMT, (format) =>
      Object.assign(format, answer),
    );
    const error = await refusal(device, { ...wish, memory });
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error.message).toMatch(/^VIDIOC_S_FMT \/dev\/video7: the driver answered /);
    expect(device.callsOf("REQBUFS")).toEqual([]);
  }
});

test("the answers of the driver apply; each that differs from the wish is logged in one line", () => {
  const device = new FakeCamera()
    .amend(v.VIDIOC_S_FMT, (format) => {
      format["fmt.pix.width"] = 32;
      format["fmt.pix.height"] = 16;
      format["fmt.pix.pixelformat"] = 0x47504a4d; // MJPG
      format["fmt.pix.bytesperline"] = 0;
      format["fmt.pix.sizeimage"] = 5000;
    })
    .amend(v.VIDIOC_S_PARM, (parm) => rate(parm, 1, 15));
  using warned = spyOn(log, "warn");
  using camera = openCamera(device, { ...wish, fps: 30 });
  expect(described(camera.picture)).toBe("32x16 MJPG 5000");
  expect(camera.fps).toBe(15);
  expect(warned.mock.calls.flat() as unknown[]).toEqual([
    "/dev/video7: size is 32x16, asked for 64x48",
    "/dev/video7: format is MJPG, asked for YUYV",
    "/dev/video7: rate is 15 fps, asked for 30",
  ]);
});

/** As uvcvideo answers (drivers/media/usb/uvc/uvc_v4l2.c): a list per ioctl, EINVAL after its end. */
const listing = (device: FakeCamera) =>
  device
    .answer(v.VIDIOC_ENUM_FMT, (entry) => {
      const code = [0x47504a4d, 0x56595559][entry.index];
      if (code === undefined) return -errno.EINVAL;
      entry.pixelformat = code;
      return 0;
    })
    .answer(v.VIDIOC_ENUM_FRAMESIZES, (entry) => {
      const width = [320, 640][entry.index];
      if (width === undefined) return -errno.EINVAL;
      entry.type = 1; // V4L2_FRMSIZE_TYPE_DISCRETE
      entry["discrete.width"] = width;
      entry["discrete.height"] = (width * 3) / 4;
      return 0;
    });

test("a camera that lacks the format or size says what it has", async () => {
  const other = listing(new FakeCamera()).amend(v.VIDIOC_S_FMT, (format) => {
    format["fmt.pix.width"] = 320;
    format["fmt.pix.height"] = 240;
    format["fmt.pix.pixelformat"] = 0x47504a4d; // MJPG
    format["fmt.pix.sizeimage"] = 5000;
  });
  using warned = spyOn(log, "warn");
  openCamera(other, wish)[Symbol.dispose]();
  expect(warned.mock.calls.flat() as unknown[]).toEqual([
    "/dev/video7: size is 320x240, asked for 64x48; it has 320x240, 640x480",
    "/dev/video7: format is MJPG, asked for YUYV; it has MJPG, YUYV",
  ]);
  const refusing = listing(new FakeCamera()).fail("S_FMT", errno.EINVAL);
  expect((await refusal(refusing)).message).toMatch(/EINVAL .*; it has MJPG, YUYV$/);
});

test("an interlaced field is said once", () => {
  const device = new FakeCamera().answer(v.VIDIOC_G_FMT, (format) => {
    format["fmt.pix.field"] = 4; // V4L2_FIELD_INTERLACED
    return 0;
  });
  using warned = spyOn(log, "warn");
  using camera = openCamera(device, wish);
  camera.start();
  camera.stop();
  camera.start();
  expect(warned.mock.calls.flat() as unknown[]).toEqual([
    "/dev/video7: pictures are interlaced (interlaced): moving edges show lines",
  ]);
});

test("a stream that does not start for lack of USB bandwidth says what to do", () => {
  using camera = openCamera(new FakeCamera().fail("STREAMON", errno.ENOSPC), wish);
  expect(() => camera.start()).toThrow(
    /^VIDIOC_STREAMON \/dev\/video7: ENOSPC .*; the USB bus has no bandwidth left: /,
  );
});

test.each([
  { fps: 30, answer: [1001, 30000], reported: 30000 / 1001, said: 0 },
  { fps: 30, answer: [1, 30], reported: 30, said: 0 },
  { fps: 30, answer: [0, 0], reported: undefined, said: 1 },
  { fps: 30, answer: [1, 0], reported: undefined, said: 1 },
  { fps: 30, answer: [0xffff_ffff, 1], reported: 1 / 0xffff_ffff, said: 1 },
  { fps: undefined, answer: [1, 25], reported: 25, said: 0 },
] as const)("asked for $fps, the driver answers $answer", ({ fps, answer, reported, said }) => {
  const device = new FakeCamera();
  for (const of of [v.VIDIOC_S_PARM, v.VIDIOC_G_PARM]) {
    device.amend(of, (parm) => rate(parm, answer[0], answer[1]));
  }
  using warned = spyOn(log, "warn");
  using camera = openCamera(device, { ...wish, fps });
  expect(camera.fps).toBe(reported);
  expect(warned.mock.calls.length).toBe(said);
});

test.each([
  [30, 1000, 30000],
  [29.97, 1000, 29970],
  [0.5, 1000, 500],
  [0.0001, 1000, 1],
])("%d fps is asked for as %d/%d", (fps, numerator, denominator) => {
  const asked: number[] = [];
  const device = new FakeCamera().amend(v.VIDIOC_S_PARM, (parm) => {
    asked.push(parm["parm.capture.timeperframe.numerator"]);
    asked.push(parm["parm.capture.timeperframe.denominator"]);
  });
  openCamera(device, { ...wish, fps })[Symbol.dispose]();
  expect(asked).toEqual([numerator, denominator]);
});

test("a driver without S_PARM sets its own rate, which is logged", () => {
  const device = new FakeCamera().fail("S_PARM", errno.ENOTTY).fail("G_PARM", errno.ENOTTY);
  using warned = spyOn(log, "warn");
  using camera = openCamera(device, { ...wish, fps: 30 });
  expect(camera.fps).toBeUndefined();
  expect(warned.mock.calls.length).toBe(1);
});

test("--fps 0 (as fast as possible) is wrong usage for a camera", async () => {
  expect(await refusal(new FakeCamera(), { ...wish, fps: 0 })).toBeInstanceOf(UsageError);
});

test.each([1, 2, 3, 5, 64])("the driver may give %d buffers instead of 4", (count) => {
  const device = new FakeCamera({ gives: () => count });
  using camera = openCamera(device, wish);
  expect(camera.frames.length).toBe(count);
  camera.start();
  expect(device.queued).toBe(count);
});

test.each([0, 65, 0xffff_ffff])("a driver that gives %d buffers is unavailable", async (count) => {
  for (const memory of ["mmap", "dmabuf", "auto"] as const) {
    const error = await refusal(new FakeCamera({ gives: () => count }), { ...wish, memory });
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error.message).toMatch(/REQBUFS .*gave \d+ buffers, 1 to 64 will do/);
  }
});

test.each([0, 1, 6143])(
  "buffers of %d bytes for a picture of 6144 are refused",
  async (planeLength) => {
    const error = await refusal(new FakeCamera({ planeLength }));
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error.message).toMatch(/QUERYBUF .* buffer 0 has \d+ bytes for a picture of 6144/);
  },
);

test("a mapping that the system refuses makes the device unavailable", async () => {
  const device = new FakeCamera().amend(v.VIDIOC_QUERYBUF, (buffer) => {
    buffer.length = 0x7fff_f000; // the fake's map refuses it, as the kernel would
  });
  const error = await refusal(device);
  expect(error).toBeInstanceOf(UnavailableError);
  expect(error.message).toMatch(/^mmap \/dev\/video7: EINVAL/);
});

test("a failure at any call of any ioctl leaves no descriptor, no mapping and no open device", async () => {
  const calls = ["QUERYCAP", "S_FMT", "S_PARM", "REQBUFS", "QUERYBUF", "EXPBUF", "QBUF"];
  for (const name of calls) {
    for (let call = 1; call <= 4; call++) {
      const left = await leftBehind(DRIVER_MEMORY, () => {
        const device = new FakeCamera().fail(name, errno.EIO, call);
        try {
          openCamera(device, { ...wish, fps: 30 })[Symbol.dispose]();
        } catch (error) {
          expect(error).toBeInstanceOf(UnavailableError);
        }
        expect(device.disposed).toBe(true);
      });
      expect(left, `${name} ${call}`).toEqual(nothing);
    }
  }
});

test("EXPBUF that succeeds without a descriptor counts as a buffer that cannot be exported", () => {
  const device = new FakeCamera().amend(v.VIDIOC_EXPBUF, (request) => {
    if (request.index !== 2) return;
    new Fd(request.fd, "exported")[Symbol.dispose]();
    request.fd = -1;
  });
  using said = spyOn(log, "info");
  using _camera = openCamera(device, wish);
  expect(said.mock.calls.flat() as unknown[]).toContain(
    "VIDIOC_EXPBUF /dev/video7: 3 of 4 buffers can be exported",
  );
});
