// Formats, sizes and rates as programs set them, and the ways to get buffers besides REQBUFS.
import { expect, test } from "bun:test";
import { errno } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { fourcc, fourccName } from "../../src/format/formats.ts";
import { madeOffers } from "../../src/media/made-offers.ts";
import { intervalOf } from "../../src/media/offers.ts";
import { BASE, FakeSource, MediaDriver } from "../support/media-driver.ts";
import { MediaProgram } from "../support/media-program.ts";

const CAPTURE = v.V4L2_BUF_TYPE_VIDEO_CAPTURE;
const offers = () =>
  madeOffers(
    ["YUYV", "NV12", "MJPG"],
    [
      [640, 480],
      [320, 240],
    ],
    [30, 15, 60],
  );

function open() {
  const driver = new MediaDriver({ source: new FakeSource(offers()) });
  return { driver, program: new MediaProgram(driver) };
}

const setRate = (
  { driver, program }: ReturnType<typeof open>,
  numerator: number,
  denominator: number,
) =>
  driver.ioctl(program.session, v.VIDIOC_S_PARM, (q) => {
    q.type = CAPTURE;
    q["parm.capture.timeperframe.numerator"] = numerator;
    q["parm.capture.timeperframe.denominator"] = denominator;
  });

test.each([
  ["YUYV", 640, 480, "YUYV 640x480 line 1280 size 614400 colours 8"],
  ["NV12", 10, 10, "NV12 320x240 line 320 size 115200 colours 8"],
  ["NV12", 5000, 5000, "NV12 640x480 line 640 size 460800 colours 8"],
  ["MJPG", 320, 240, "MJPG 320x240 line 0 size 153600 colours 7"],
  ["H264", 320, 240, "YUYV 320x240 line 640 size 153600 colours 8"],
])("a wish for %s in %dx%d becomes %p", (format, width, height, wanted) => {
  const { driver: used, program } = open();
  using _driver = used;
  const { status, q } = program.setFormat({ format, width, height });
  expect(status).toBe(0);
  const got = `${fourccName(q["fmt.pix.pixelformat"])} ${q["fmt.pix.width"]}x${q["fmt.pix.height"]}`;
  const memory = `line ${q["fmt.pix.bytesperline"]} size ${q["fmt.pix.sizeimage"]}`;
  expect(`${got} ${memory} colours ${q["fmt.pix.colorspace"]}`).toBe(wanted);
  expect(q["fmt.pix.field"]).toBe(v.V4L2_FIELD_NONE);
});

test("TRY_FMT changes nothing, S_FMT is the format of all sessions", () => {
  const { driver: used, program } = open();
  using driver = used;
  const other = new MediaProgram(driver);
  const width = () =>
    driver.ioctl(other.session, v.VIDIOC_G_FMT, (q) => {
      q.type = CAPTURE;
    }).q["fmt.pix.width"];
  driver.ioctl(program.session, v.VIDIOC_TRY_FMT, (q) => {
    q.type = CAPTURE;
    q["fmt.pix.width"] = 320;
    q["fmt.pix.height"] = 240;
    q["fmt.pix.pixelformat"] = fourcc("YUYV");
  });
  expect(width()).toBe(640);
  program.setFormat({ width: 320, height: 240, format: "YUYV" });
  expect(width()).toBe(320);
});

test("only a compressed format has the flag", () => {
  const { driver: used, program } = open();
  using driver = used;
  const flags = [0, 1, 2].map(
    (index) =>
      driver.ioctl(program.session, v.VIDIOC_ENUM_FMT, (q) => {
        q.index = index;
        q.type = CAPTURE;
      }).q.flags,
  );
  expect(flags).toEqual([0, 0, v.V4L2_FMT_FLAG_COMPRESSED]);
});

test.each([
  [1, 30, 30],
  [1, 14, 15],
  [1, 1000, 60],
  [1, 1, 15],
  [0, 0, 30],
  [1001, 30_000, 30],
])("a wish for %d/%d s a picture becomes %d pictures a second", (numerator, denominator, rate) => {
  const scene = open();
  using _driver = scene.driver;
  const { status, q } = setRate(scene, numerator, denominator);
  expect(status).toBe(0);
  expect(q["parm.capture.timeperframe.numerator"]).toBe(1);
  expect(q["parm.capture.timeperframe.denominator"]).toBe(rate);
  expect(q["parm.capture.capability"]).toBe(v.V4L2_CAP_TIMEPERFRAME);
});

test("while the camera streams its rate stays, and while there are buffers its format does", () => {
  const scene = open();
  using _driver = scene.driver;
  const { program } = scene;
  program.stream(2);
  expect(setRate(scene, 1, 15).status).toBe(errno.EBUSY);
  program.off();
  expect(setRate(scene, 1, 15).status).toBe(0);
  expect(program.setFormat({ width: 320, height: 240, format: "YUYV" }).status).toBe(errno.EBUSY);
  program.request(0);
  expect(program.setFormat({ width: 320, height: 240, format: "YUYV" }).status).toBe(0);
});

test("the source is started in the mode and at the rate that the guest has set", () => {
  const scene = open();
  using driver = scene.driver;
  scene.program.setFormat({ width: 320, height: 240, format: "NV12" });
  setRate(scene, 1, 60);
  scene.program.stream(2);
  expect(driver.source.mode).toMatchObject({
    width: 320,
    height: 240,
    pixelformat: fourcc("NV12"),
  });
  expect(driver.source.interval).toEqual({ numerator: 1, denominator: 60 });
});

test.each([
  [30, "1/30"],
  [29.97002997, "1001/30000"],
  [7.5, "1000/7500"],
])("%d pictures a second are %s s each", (rate, text) => {
  const { numerator, denominator } = intervalOf(rate);
  expect(`${numerator}/${denominator}`).toBe(text);
});

const create = (
  { driver, program }: ReturnType<typeof open>,
  count: number,
  sizeimage = 614_400,
  memory: number = v.V4L2_MEMORY_MMAP,
) =>
  driver.ioctl(program.session, v.VIDIOC_CREATE_BUFS, (q) => {
    q.count = count;
    q.memory = memory;
    q["format.type"] = CAPTURE;
    q["format.fmt.pix.width"] = 640;
    q["format.fmt.pix.sizeimage"] = sizeimage;
  });

test("CREATE_BUFS adds buffers, also larger ones, and says the first one's number", () => {
  const scene = open();
  using driver = scene.driver;
  const { program } = scene;
  expect(create(scene, 0).q).toMatchObject({ index: 0, count: 0 });
  expect(create(scene, 2).q).toMatchObject({ index: 0, count: 2 });
  const larger = create(scene, 1, 1_000_000);
  expect([larger.q.index, larger.q.count]).toEqual([2, 1]);
  expect(larger.q["format.fmt.pix.width"]).toBe(640);
  expect(program.query(2).q.length).toBe(1_000_000);
  expect(create(scene, 100).q.count).toBeLessThanOrEqual(29);
  for (let i = 0; i < 3; i++) program.map(i);
  program.queue(2);
  program.on();
  driver.source.show(1);
  expect(driver.frames[0]).toMatchObject({ index: 2, bytesused: 614_400, length: 1_000_000 });
});

test.each([
  ["smaller than a picture", 614_399, v.V4L2_MEMORY_MMAP, errno.EINVAL],
  ["of another memory type", 614_400, v.V4L2_MEMORY_USERPTR, errno.EINVAL],
  ["larger than all memory", 0xffff_ffff, v.V4L2_MEMORY_MMAP, errno.ENOMEM],
])("CREATE_BUFS of buffers that are %s is refused", (_, sizeimage, memory, code) => {
  const scene = open();
  using _driver = scene.driver;
  expect(create(scene, 1, sizeimage, memory).status).toBe(code);
  expect(scene.program.query(0).status).toBe(errno.EINVAL);
});

test("there are never more than 32 buffers", () => {
  const driver = new MediaDriver({ source: new FakeSource(madeOffers(["YUYV"], [[16, 16]])) });
  using _driver = driver;
  const program = new MediaProgram(driver);
  const scene = { driver, program };
  expect(program.request(30).q.count).toBe(30);
  expect(create(scene, 5, 512).q).toMatchObject({ index: 30, count: 2 });
  expect(create(scene, 1, 512).status).toBe(errno.ENOMEM);
});

const prepare = ({ driver, program }: ReturnType<typeof open>, index: number) =>
  driver.ioctl(program.session, v.VIDIOC_PREPARE_BUF, (q) => {
    q.index = index;
    q.type = CAPTURE;
    q.memory = v.V4L2_MEMORY_MMAP;
  });

test("a prepared buffer is queued without its memory being looked at again", () => {
  const scene = open();
  using driver = scene.driver;
  const { program } = scene;
  program.request(2);
  const first = prepare(scene, 0);
  expect(first.status).toBe(0);
  expect(first.q.flags & v.V4L2_BUF_FLAG_PREPARED).not.toBe(0);
  expect(prepare(scene, 0).status).toBe(errno.EINVAL);
  const queued = program.queue(0);
  expect(queued.status).toBe(0);
  expect(queued.q.flags).toBe(v.V4L2_BUF_FLAG_QUEUED | v.V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC);
  expect(prepare(scene, 0).status).toBe(errno.EINVAL);
  program.on();
  driver.source.show(1);
  expect(driver.frames.length).toBe(1);
});

test("a buffer of the guest without memory has the length that it needs: v4l2-compliance refuses 0", () => {
  using driver = new MediaDriver({ regionBytes: 0 });
  const program = new MediaProgram(driver);
  program.setFormat({ width: 320, height: 240, format: "YUYV" });
  program.request(1, v.V4L2_MEMORY_USERPTR);
  const said = () => program.query(0, v.V4L2_MEMORY_USERPTR).q;
  expect(said()).toMatchObject({ length: 153_600, "m.userptr": 0 });
  expect(program.queueUser(0, BASE, 160_000).status).toBe(0);
  expect(said().length).toBe(160_000);
});

test("a prepared buffer of the guest keeps its memory, whatever QBUF says of it", () => {
  using driver = new MediaDriver({ regionBytes: 0 });
  const program = new MediaProgram(driver);
  program.setFormat({ width: 320, height: 240, format: "YUYV" });
  program.request(1, v.V4L2_MEMORY_USERPTR);
  expect(program.queueUser(0, BASE, 153_600, v.VIDIOC_PREPARE_BUF).status).toBe(0);
  expect(program.queueUser(0, BASE + 0x10_0000n, 153_600).status).toBe(0);
  program.on();
  driver.source.show(9);
  expect(driver.memory.bytes(BASE, 153_600).every((byte) => byte === 9)).toBe(true);
  expect(driver.memory.bytes(BASE + 0x10_0000n, 153_600).every((byte) => byte === 0)).toBe(true);
});
