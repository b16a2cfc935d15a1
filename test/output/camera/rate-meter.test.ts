// The frame rate that is set on a camera.
import { expect, test } from "bun:test";
import { usualRate } from "../../../src/output/camera/rate-meter.ts";

test.each([
  [32, 30],
  [28.1, 30],
  [29.97, 30],
  [14.6, 15],
  [24.1, 24],
  [25.3, 25],
  [61, 60],
  [12, 12],
  [0.52, 0.5],
  [400, 400],
])("%d measured becomes %d", (measured, told) => {
  expect(usualRate(measured)).toBe(told);
});
