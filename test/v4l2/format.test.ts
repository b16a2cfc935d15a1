// Formats of both planar APIs, and what a device lists.
import { expect, test } from "bun:test";
import { errno } from "../../ffi/errno.ts";
import type { Ioctl } from "../../ffi/ioctl.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import type { Fields, Struct } from "../../ffi/struct.ts";
import { fourcc } from "../../src/format/formats.ts";
import { getControl, menuEntries, setControl } from "../../src/v4l2/controls.ts";
import type { VideoDevice } from "../../src/v4l2/device.ts";
import { bufferType, getFormat, setFormat, tryFormat, visiblePart } from "../../src/v4l2/format.ts";
import { listFormats, listFrameSizes } from "../../src/v4l2/format-list.ts";

/** A device that answers each ioctl with one function. */
function answering(handle: (request: string, q: never) => number): VideoDevice {
  return {
    path: "/dev/video9",
    fd: -1,
    map: () => {
      throw new Error("nothing to map");
    },
    ioctl: <F extends Fields>(request: Ioctl<F>, q: Struct<F>) => handle(request.name, q as never),
    [Symbol.dispose]: () => undefined,
  };
}
type Format = Struct<typeof v.v4l2Format.fields>;

test.each([
  ["capture", false, 1],
  ["output", false, 2],
  ["capture", true, 9],
  ["output", true, 10],
] as const)("the buffer type of %s, multi-planar %p, is %d", (direction, multiplanar, type) => {
  expect(bufferType(direction, multiplanar)).toBe(type);
});

const calls = [
  ["VIDIOC_S_FMT", setFormat],
  ["VIDIOC_TRY_FMT", tryFormat],
] as const;

test.each(calls)("%s asks for each plane of an output queue and reads each answer", (name, ask) => {
  const asked: number[][] = [];
  const device = answering((request, q: Format) => {
    expect([request, q.type, q["fmt.pix_mp.num_planes"], q["fmt.pix_mp.field"]]).toEqual([
      name,
      v.V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE,
      2,
      v.V4L2_FIELD_NONE,
    ]);
    for (const i of [0, 1]) {
      const plane = v.v4l2PlanePixFormat.over(q.$bytes, 28 + i * v.v4l2PlanePixFormat.size);
      asked.push([plane.sizeimage, plane.bytesperline]);
      plane.sizeimage = 1000 + i;
      plane.bytesperline = 100 + i;
    }
    q["fmt.pix_mp.width"] = 48;
    return 0;
  });
  const answer = ask(device, bufferType("output", true), {
    fourcc: fourcc("NM12"),
    width: 50,
    height: 20,
    planes: [
      { sizeimage: 7, bytesperline: 64 },
      { sizeimage: 0, bytesperline: 32 },
    ],
  });
  expect(asked).toEqual([
    [7, 64],
    [0, 32],
  ]);
  expect(answer).toEqual({
    fourcc: fourcc("NM12"),
    width: 48,
    height: 20,
    planes: [
      { sizeimage: 1000, bytesperline: 100 },
      { sizeimage: 1001, bytesperline: 101 },
    ],
  });
});

test.each(calls)("%s of a single-planar queue has one plane; a failure is the errno", (_, ask) => {
  const type = bufferType("output", false);
  const wish = { fourcc: fourcc("YUYV"), width: 32, height: 8 };
  const device = answering((_request, q: Format) => {
    expect([q["fmt.pix.sizeimage"], q["fmt.pix.bytesperline"]]).toEqual([0, 0]);
    q["fmt.pix.sizeimage"] = 512;
    q["fmt.pix.bytesperline"] = 64;
    return 0;
  });
  expect(ask(device, type, wish)).toEqual({
    ...wish,
    planes: [{ sizeimage: 512, bytesperline: 64 }],
  });
  expect(
    ask(
      answering(() => -errno.EBUSY),
      type,
      wish,
    ),
  ).toBe(-errno.EBUSY);
});

test("G_FMT that claims 255 planes is read up to the eight there can be; one that fails is no format", () => {
  const device = answering((_request, q: Format) => {
    q["fmt.pix_mp.num_planes"] = 255;
    return 0;
  });
  expect(getFormat(device, bufferType("capture", true))?.planes.length).toBe(8);
  expect(
    getFormat(
      answering(() => -errno.EINVAL),
      bufferType("capture", true),
    ),
  ).toBeUndefined();
});

test("the visible part is the first rectangle that lies in the picture, else all of it", () => {
  const picture = { fourcc: 0, width: 64, height: 48, planes: [] };
  const type = bufferType("capture", true);
  const device = answering((_request, q: Struct<typeof v.v4l2Selection.fields>) => {
    const outside = q.target === v.V4L2_SEL_TGT_COMPOSE;
    q["r.left"] = outside ? 60 : 2;
    q["r.width"] = 60;
    q["r.height"] = 40;
    return 0;
  });
  expect(visiblePart(device, type, picture)).toEqual({ left: 2, top: 0, width: 60, height: 40 });
  const silent = answering(() => -errno.ENOTTY);
  expect(visiblePart(silent, type, picture)).toEqual({ left: 0, top: 0, width: 64, height: 48 });
});

test("single frame sizes are listed one by one, a range with the driver's step", () => {
  const single = answering((_request, q: Struct<typeof v.v4l2Frmsizeenum.fields>) => {
    if (q.index > 1) return -errno.EINVAL;
    q.type = v.V4L2_FRMSIZE_TYPE_DISCRETE;
    q["discrete.width"] = 640 << q.index;
    q["discrete.height"] = 480 << q.index;
    return 0;
  });
  const one = (value: number) => ({ min: value, max: value, step: 1 });
  expect(listFrameSizes(single, fourcc("YUYV"))).toEqual([
    { width: one(640), height: one(480) },
    { width: one(1280), height: one(960) },
  ]);
  const ranged = answering((_request, q: Struct<typeof v.v4l2Frmsizeenum.fields>) => {
    q.type = 3;
    q["stepwise.min_width"] = 16;
    q["stepwise.max_width"] = 2048;
    q["stepwise.step_width"] = 8;
    q["stepwise.min_height"] = 32;
    q["stepwise.max_height"] = 16; // a driver that mixes them up
    q["stepwise.step_height"] = 2;
    return 0;
  });
  expect(listFrameSizes(ranged, 0)).toEqual([
    { width: { min: 16, max: 2048, step: 8 }, height: { min: 32, max: 32, step: 2 } },
  ]);
  expect(
    listFrameSizes(
      answering(() => -errno.ENOTTY),
      0,
    ),
  ).toEqual([]);
});

test("a driver whose lists have no end is read 256 times", () => {
  const endless = answering((request, q: Struct<typeof v.v4l2Frmsizeenum.fields>) => {
    if (request === "VIDIOC_ENUM_FRAMESIZES") q.type = v.V4L2_FRMSIZE_TYPE_DISCRETE;
    return 0;
  });
  expect(listFormats(endless, 1).length).toBe(256);
  expect(listFrameSizes(endless, 0).length).toBe(256);
});

test("controls: a value, a value that is refused, and the entries of a menu that has gaps", () => {
  const device = answering((request, q: Struct<typeof v.v4l2Querymenu.fields>) => {
    if (request === "VIDIOC_QUERYMENU") return q.index % 2 === 0 ? 0 : -errno.EINVAL;
    const control = v.v4l2Control.over(q.$bytes);
    if (control.id !== 5) return -errno.EINVAL;
    if (request === "VIDIOC_G_CTRL") control.value = -7;
    return 0;
  });
  expect([getControl(device, 5), getControl(device, 6)]).toEqual([-7, undefined]);
  expect([setControl(device, 5, 1), setControl(device, 6, 1)]).toEqual([true, false]);
  expect(menuEntries(device, 5, 5)).toEqual([0, 2, 4]);
});
