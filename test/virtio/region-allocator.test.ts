import { expect, test } from "bun:test";
import { REGION_GRAIN, RegionAllocator, toGrain } from "../../src/virtio/region-allocator.ts";
import { Random } from "../support/random.ts";

const MIB = 1 << 20;

test("offsets are multiples of 64 KiB, and a length is rounded up to one", () => {
  const ranges = new RegionAllocator(MIB);
  expect(ranges.allocate(1)).toBe(0);
  expect(ranges.allocate(REGION_GRAIN + 1)).toBe(REGION_GRAIN);
  expect(ranges.allocate(5)).toBe(3 * REGION_GRAIN);
  expect(ranges.usedBytes).toBe(4 * REGION_GRAIN);
});

test("a full region refuses, and freed neighbours are one gap", () => {
  const ranges = new RegionAllocator(MIB);
  const quarters = [0, 1, 2, 3].map(() => ranges.allocate(MIB / 4));
  expect(quarters).toEqual([0, MIB / 4, MIB / 2, (3 * MIB) / 4]);
  expect(ranges.allocate(1)).toBeUndefined();
  ranges.free(MIB / 2);
  ranges.free(0);
  expect(ranges.allocate(MIB / 2)).toBeUndefined();
  ranges.free(MIB / 4);
  expect(ranges.allocate((3 * MIB) / 4)).toBe(0);
  expect(ranges.usedBytes).toBe(MIB);
});

test.each([0, -1, Number.NaN, 0.5, MIB + 1, 2 ** 53, Number.POSITIVE_INFINITY])(
  "a length of %p is refused",
  (length) => {
    expect(new RegionAllocator(MIB).allocate(length)).toBeUndefined();
  },
);

test("a size that is no multiple of 64 KiB and a range that is not allocated are defects", () => {
  expect(() => new RegionAllocator(MIB - 1)).toThrow(RangeError);
  expect(() => new RegionAllocator(0)).toThrow(RangeError);
  const ranges = new RegionAllocator(MIB);
  ranges.allocate(2 * REGION_GRAIN);
  expect(() => ranges.free(REGION_GRAIN)).toThrow(RangeError);
});

test("10,000 random steps: ranges never overlap, never leave the region, and all of it is free at the end", () => {
  const random = new Random(14);
  const ranges = new RegionAllocator(64 * REGION_GRAIN);
  const mine = new Map<number, number>();
  for (let step = 0; step < 10_000; step++) {
    const [offset] = [...mine.keys()].slice(random.below(mine.size + 1));
    if (offset !== undefined) {
      ranges.free(offset);
      mine.delete(offset);
      continue;
    }
    const length = 1 + random.below(12 * REGION_GRAIN);
    const at = ranges.allocate(length);
    if (at === undefined) continue;
    const end = at + toGrain(length);
    expect(at % REGION_GRAIN).toBe(0);
    expect(end).toBeLessThanOrEqual(ranges.size);
    for (const [other, bytes] of mine) expect(at >= other + bytes || end <= other).toBe(true);
    mine.set(at, toGrain(length));
  }
  for (const offset of mine.keys()) ranges.free(offset);
  expect(ranges.usedBytes).toBe(0);
  expect(ranges.allocate(ranges.size)).toBe(0);
});
