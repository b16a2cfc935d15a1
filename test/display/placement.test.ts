import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { sdlRect } from "../../ffi/sdl2.ts";
import { covers, place, type scaleModes, windowSize } from "../../src/display/placement.ts";

const rect = sdlRect.alloc();
const placed = (...[mode, picture, window]: [(typeof scaleModes)[number], Size, Size]) => {
  place(rect, mode, picture, window);
  return [rect.x, rect.y, rect.w, rect.h];
};
interface Size {
  width: number;
  height: number;
}
const of = (width: number, height: number): Size => ({ width, height });

test("each scale mode places the picture as documented", () => {
  const picture = of(640, 480);
  expect(placed("fit", picture, of(1920, 1080))).toEqual([240, 0, 1440, 1080]);
  expect(placed("fill", picture, of(1920, 1080))).toEqual([0, -180, 1920, 1440]);
  expect(placed("integer", picture, of(1920, 1080))).toEqual([320, 60, 1280, 960]);
  expect(placed("none", picture, of(1920, 1080))).toEqual([640, 300, 640, 480]);
  expect(placed("integer", picture, of(320, 200))).toEqual([27, 0, 267, 200]);
});

test("fit lies inside the window and touches it, fill covers it, and both keep the shape to a pixel", () => {
  const side = fc.integer({ min: 1, max: 16_384 });
  fc.assert(
    fc.property(side, side, side, side, (pw, ph, ww, wh) => {
      placed("fill", of(pw, ph), of(ww, wh));
      expect(covers(rect, of(ww, wh))).toBe(true);
      const [fx = 0, fy = 0, fw = 0, fh = 0] = placed("fit", of(pw, ph), of(ww, wh));
      expect(fw <= ww && fh <= wh && (fw === ww || fh === wh)).toBe(true);
      expect(covers(rect, of(ww, wh))).toBe(fw === ww && fh === wh);
      expect(Math.abs(fx * 2 + fw - ww)).toBeLessThanOrEqual(1);
      expect(Math.abs(fy * 2 + fh - wh)).toBeLessThanOrEqual(1);
      const [, , lw = 0, lh = 0] = placed("fill", of(pw, ph), of(ww, wh));
      expect(lw >= ww && lh >= wh).toBe(true);
      const scale = Math.min(ww / pw, wh / ph);
      expect(Math.abs(fw - Math.max(1, pw * scale))).toBeLessThanOrEqual(0.5);
      expect(Math.abs(fh - Math.max(1, ph * scale))).toBeLessThanOrEqual(0.5);
    }),
    { numRuns: 300 },
  );
});

test("a window opens at the picture's size, or as large as the screen allows in its shape", () => {
  expect(windowSize(of(640, 480), of(1920, 1080))).toEqual(of(640, 480));
  expect(windowSize(of(3840, 2160), of(1920, 1000))).toEqual(of(1778, 1000));
  expect(windowSize(of(1, 1), of(1920, 1080))).toEqual(of(64, 48));
  expect(windowSize(of(16_384, 1), of(1920, 1080))).toEqual(of(1920, 48));
});
