// Controls of a decoder: numbers of virtio-video for those of V4L2.
import { expect, test } from "bun:test";
import * as v from "../../../ffi/linux/videodev2.ts";
import { decoderOn } from "../../../src/video/codec/v4l2-decoder.ts";
import * as s from "../../../src/video/structs.ts";
import { FakeDecoder } from "../../support/fake-decoder.ts";
import { type LocalDriver, localDriver } from "../../support/video-driver.ts";

const H264 = 0x1002;
const MAIN = 0x101;
const UNSUPPORTED = 0x305;

function h264(): { driver: LocalDriver; controls: Map<number, number> } {
  const controls = new Map([
    [v.V4L2_CID_MPEG_VIDEO_H264_PROFILE, 4],
    [v.V4L2_CID_MPEG_VIDEO_H264_LEVEL, 11],
    [v.V4L2_CID_MPEG_VIDEO_BITRATE, 2_000_000],
  ]);
  const menus = new Map([
    [v.V4L2_CID_MPEG_VIDEO_H264_PROFILE, [0, 1, 2, 4, 14]],
    [v.V4L2_CID_MPEG_VIDEO_H264_LEVEL, [0, 2, 3]],
  ]);
  const fake = new FakeDecoder({ coded: "H264", controls, menus });
  const driver = localDriver(
    decoderOn(fake.open(), () => fake.open()),
    { watcher: fake.watcher },
  );
  expect(driver.create(1, { format: H264 }).code).toBe(0x200);
  return { driver, controls };
}

const query = (driver: LocalDriver, control: number, format: number) =>
  driver.command(0x10a, 0, s.queryControlFormat, (q) => {
    q.control = control;
    q.format = format;
  });
const get = (driver: LocalDriver, control: number) =>
  driver.command(0x10b, 1, s.controlCommand, (q) => {
    q.control = control;
  });
const set = (driver: LocalDriver, control: number, value: number) =>
  driver.command(0x10c, 1, s.setControl, (q) => {
    q.control = control;
    q.value = value;
  });

test("QUERY_CONTROL returns the values that the device has, in virtio-video's numbers, each once", () => {
  const { driver } = h264();
  using _ = driver;
  const values = (control: number) => {
    const { code, reply } = query(driver, control, H264);
    const words = [...new Uint32Array(reply?.buffer ?? new ArrayBuffer(0))];
    expect([code, words[2], words.length]).toEqual([0x204, words.length - 4, words.length]);
    return words.slice(4);
  };
  // Baseline and constrained baseline are one; multiview (V4L2's 14) has no number.
  expect(values(s.control.PROFILE)).toEqual([0x100, 0x101, 0x103]);
  expect(values(s.control.LEVEL)).toEqual([0x100, 0x101, 0x102]);
  expect(query(driver, s.control.PROFILE, 0x1003).code).toBe(UNSUPPORTED);
  expect(query(driver, s.control.PROFILE, 0x9999).code).toBe(0x304);
  expect(query(driver, 7, H264).code).toBe(UNSUPPORTED);
});

test("GET_CONTROL and SET_CONTROL translate both ways; a value without a counterpart is unsupported", () => {
  const { driver, controls } = h264();
  using _ = driver;
  const value = (control: number) => get(driver, control).as(s.controlResponse).value;
  expect([1, 2, 3].map(value)).toEqual([2_000_000, 0x103, 0x10a]);
  expect(set(driver, s.control.PROFILE, MAIN).code).toBe(0x200);
  expect(controls.get(v.V4L2_CID_MPEG_VIDEO_H264_PROFILE)).toBe(2);
  expect(value(s.control.PROFILE)).toBe(MAIN);
  expect(set(driver, s.control.BITRATE, 500_000).code).toBe(0x200);
  expect(value(s.control.BITRATE)).toBe(500_000);
  expect(set(driver, s.control.BITRATE, 0xffff_ffff).code).toBe(UNSUPPORTED);
  expect(set(driver, s.control.PROFILE, 0x300).code).toBe(UNSUPPORTED);
  controls.set(v.V4L2_CID_MPEG_VIDEO_H264_PROFILE, 14);
  expect(get(driver, s.control.PROFILE).code).toBe(UNSUPPORTED);
});

test("controls of encoders are unsupported, also the one without a value", () => {
  const { driver } = h264();
  using _ = driver;
  for (const control of [0, 4, 5, 6, 7, 0xffff_ffff]) {
    expect([get(driver, control).code, set(driver, control, 1).code]).toEqual([
      UNSUPPORTED,
      UNSUPPORTED,
    ]);
  }
  const short = driver.command(0x10c, 1, s.controlCommand, (q) => {
    q.control = s.control.FORCE_KEYFRAME;
  });
  expect(short.code).toBe(UNSUPPORTED);
});
