// The state machine of a virtual camera, without a device.
import { expect, test } from "bun:test";
import { fourcc } from "../../../src/format/formats.ts";
import { CameraState } from "../../../src/output/camera/camera-state.ts";

const small = { width: 640, height: 480, pixelformat: fourcc("YUYV") };
const large = { width: 1280, height: 720, pixelformat: fourcc("YUYV") };

test("an idle camera shows nothing, however long no frame comes", () => {
  const state = new CameraState();
  expect([0, 500, 5000, 100_000].map((ms) => state.due(ms))).toEqual([false, false, false, false]);
  expect(state.phase).toBe("idle");
});

test("a camera that stands by from the start shows its picture at once, then twice a second", () => {
  const state = new CameraState();
  state.standBy(100);
  const shown = Array.from({ length: 21 }, (_, i) => 100 + i * 100).filter((ms) => state.due(ms));
  expect(shown).toEqual([100, 600, 1100, 1600, 2100]);
  expect(state.silentSinceMs).toBe(100);
});

test("a sender that is silent for a second is replaced by the stand-by picture, its next frame ends that", () => {
  const state = new CameraState();
  state.frame(1000);
  expect([1100, 1999].map((ms) => state.due(ms))).toEqual([false, false]);
  expect(state.phase).toBe("live");
  expect(state.due(2000)).toBe(true);
  expect([state.phase, state.silentSinceMs]).toEqual(["standby", 1000]);
  state.frame(2300);
  expect([state.phase, state.due(2600)]).toEqual(["live", false]);
});

test("a sender that has left is replaced at once", () => {
  const state = new CameraState();
  state.frame(1000);
  state.standBy(1040);
  expect(state.due(1050)).toBe(true);
  expect(state.silentSinceMs).toBe(1000);
});

test("looking late does not slow the stand-by pictures down", () => {
  const state = new CameraState();
  state.standBy(0);
  const looks = Array.from({ length: 50 }, (_, i) => i * 110);
  const shown = looks.filter((ms) => state.due(ms));
  expect(shown.length).toBe(11); // in 5390 ms
});

test("standing by twice does not show a picture more", () => {
  const state = new CameraState();
  state.standBy(0);
  expect(state.due(0)).toBe(true);
  state.standBy(10);
  expect(state.due(20)).toBe(false);
});

test("the node gets the format of the first stream", () => {
  expect(new CameraState().plan(small)).toBe("change");
});

test("a stream of the node's format needs nothing", () => {
  const state = new CameraState();
  state.setFormat(small, small);
  expect(state.plan({ ...small })).toBe("same");
});

test("while a program reads, its format is held; when the last one has left, the node takes the new one", () => {
  const state = new CameraState();
  state.setFormat(small, small);
  state.readers = 1;
  expect(state.plan(large)).toBe("fit");
  state.readers = 0;
  expect(state.plan(large)).toBe("change");
});

test("where the driver does not say who reads, the first format stays", () => {
  const state = new CameraState();
  state.setFormat(small, small);
  expect(state.plan(large)).toBe("fit");
});

test("a format that the driver refused is asked for again only when the last reader has left", () => {
  const state = new CameraState();
  state.readers = 0;
  state.setFormat(small, large); // S_FMT succeeded, with another format
  expect(state.plan(large)).toBe("fit");
  state.readers = 1;
  expect(state.plan(large)).toBe("fit");
  state.readers = 0;
  expect(state.plan(large)).toBe("change");
});

test("a change of the pixel format alone is a change", () => {
  const state = new CameraState();
  state.setFormat(small, small);
  state.readers = 0;
  expect(state.plan({ ...small, pixelformat: fourcc("NV12") })).toBe("change");
});
