import { expect, test } from "bun:test";
import { Arrivals } from "../../../../src/video/codec/libavcodec/arrivals.ts";
import { PICTURE_SLOTS } from "../../../../src/video/codec/libavcodec/messages.ts";
import { PictureSlots } from "../../../../src/video/codec/libavcodec/picture-slots.ts";

test("what arrives leaves in its order, also when more waits than ever before", () => {
  const arrivals = new Arrivals();
  const left: number[] = [];
  let next = 0;
  for (const [added, taken] of [
    [5, 3],
    [20, 10],
    [60, 72],
  ] as const) {
    for (let i = 0; i < added; i++) arrivals.add("picture").key = next++;
    for (let i = 0; i < taken; i++) {
      left.push(arrivals.next?.key ?? -1);
      arrivals.shift();
    }
  }
  expect(left).toEqual(Array.from({ length: 85 }, (_, i) => i));
  expect([arrivals.count, arrivals.next]).toEqual([0, undefined]);
  arrivals.shift();
  expect(arrivals.count).toBe(0);
});

test("a slot is granted once, filled once, and free again; a revoked one cannot be filled", () => {
  const slots = new PictureSlots();
  const granted = Array.from({ length: PICTURE_SLOTS }, () => slots.grant());
  expect(new Set(granted).size).toBe(PICTURE_SLOTS);
  expect(slots.grant()).toBe(-1);
  expect([slots.fill(2), slots.fill(2), slots.fill(PICTURE_SLOTS), slots.fill(-1)]).toEqual([
    true,
    false,
    false,
    false,
  ]);
  slots.revoke();
  expect([slots.fill(3), slots.granted, slots.full]).toEqual([false, 0, 1]);
  slots.free(3); // not full: nothing happens
  slots.free(2);
  expect([slots.granted, slots.full]).toEqual([0, 0]);
});
