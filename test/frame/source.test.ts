import { expect, test } from "bun:test";
import { openCamera } from "../../src/capture/camera.ts";
import { openTestSource } from "../../src/capture/testsrc.ts";
import { Frame } from "../../src/frame/frame.ts";
import { newest } from "../../src/frame/source.ts";
import { quiet, wish } from "../support/camera-options.ts";
import { FakeCamera } from "../support/fake-camera.ts";

quiet();

test("the newest waiting frame is taken; older ones are returned and counted", () => {
  const device = new FakeCamera();
  using camera = openCamera(device, wish);
  let passed = 0;
  const count = (frames: number) => {
    passed += frames;
  };
  camera.start();
  expect(newest(camera, count)).toBeUndefined();
  for (let n = 0; n < 3; n++) device.produce();
  using frame = newest(camera, count);
  expect(frame?.sequence).toBe(2);
  expect(passed).toBe(2);
  expect(device.queued).toBe(3);
  expect(camera.drops).toBe(0);
  expect(newest(camera, count)).toBeUndefined();
});

test("a source that makes frames on demand is asked for one", () => {
  using source = openTestSource("testsrc", { ...wish, fps: 0 });
  source.start();
  let passed = 0;
  using frame = newest(source, (frames) => {
    passed += frames;
  });
  expect(frame?.sequence).toBe(0);
  expect(passed).toBe(0);
});

test("a frame is not lost when the one after it is an error", () => {
  const device = new FakeCamera();
  using camera = openCamera(device, wish);
  camera.start();
  device.produce();
  device.produce({ index: 99 });
  expect(() => newest(camera, () => undefined)).toThrow(/buffer 99 was not queued/);
  expect(device.queued).toBe(3);
});

test("a frame is lent once at a time and returned once", () => {
  let back = 0;
  const frame = new Frame(
    2,
    [
      { address: 0x1000, length: 5 },
      { address: 0x2000, length: 7 },
    ],
    {
      giveBack: () => {
        back += 1;
      },
    },
  );
  expect(frame.capacity).toBe(12);
  frame[Symbol.dispose](); // never lent
  frame.lend();
  expect(frame.lent).toBe(true);
  expect(() => frame.lend()).toThrow("buffer 2 is lent already");
  frame[Symbol.dispose]();
  frame[Symbol.dispose]();
  expect(frame.lent).toBe(false);
  expect(back).toBe(1);
});
