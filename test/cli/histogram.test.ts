import { expect, test } from "bun:test";
import fc from "fast-check";
import { Histogram } from "../../src/cli/histogram.ts";

const of = (values: readonly number[]) => {
  const histogram = new Histogram();
  for (const value of values) histogram.add(value);
  return histogram;
};

test("a percentile is at most 2 % above the true one and never below", () => {
  const durations = fc.array(fc.double({ min: 1, max: 8e8, noNaN: true }), {
    minLength: 1,
    maxLength: 200,
  });
  fc.assert(
    fc.property(durations, fc.constantFrom(1, 50, 95, 99, 100), (values, percent) => {
      const sorted = values.toSorted((a, b) => a - b);
      const exact = sorted[Math.ceil((sorted.length * percent) / 100) - 1] ?? Number.NaN;
      const found = (of(values).percentileMs(percent) ?? Number.NaN) * 1000;
      expect(found).toBeGreaterThanOrEqual(exact * (1 - 1e-9));
      expect(found).toBeLessThanOrEqual(exact * 1.02 * (1 + 1e-9));
    }),
    { numRuns: 500 },
  );
});

test("the longest duration is exact", () => {
  expect(of([3, 1234.5, 7]).longestMs).toBe(1.2345);
  expect(of([0, -5]).longestMs).toBe(0.001);
});

test("no percentile is above the longest duration", () => {
  const histogram = of([35_250, 1700, 1650]);
  expect(histogram.longestMs).toBe(35.25);
  expect([95, 99, 100].map((percent) => histogram.percentileMs(percent))).toEqual([
    35.25, 35.25, 35.25,
  ]);
});

test("without durations there is no percentile", () => {
  expect(new Histogram().longestMs).toBeUndefined();
  expect(new Histogram().percentileMs(50)).toBeUndefined();
  expect(new Histogram().count).toBe(0);
});

test("durations of 0, or below 0 when clocks disagree, count as a microsecond", () => {
  const histogram = of([0, -5, Number.NEGATIVE_INFINITY, 0.3, 1]);
  expect(histogram.count).toBe(5);
  expect(histogram.percentileMs(100)).toBe(0.001);
});

test("durations beyond the last bucket are counted in it", () => {
  const histogram = of([1e12, Number.POSITIVE_INFINITY, 9e15]);
  const longest = histogram.percentileMs(1) ?? 0;
  expect(longest).toBeGreaterThan(900_000);
  expect(longest).toBeLessThan(1_100_000);
  expect(histogram.percentileMs(100)).toBe(longest);
});

test("NaN does not spoil the percentiles", () => {
  const histogram = of([1000, Number.NaN, 1000]);
  expect(histogram.count).toBe(3);
  expect(histogram.percentileMs(1)).toBe(0.001);
  expect(histogram.percentileMs(99)).toBeCloseTo(1, 1);
});

test("percentiles grow with the percentage", () => {
  const histogram = of(Array.from({ length: 1000 }, (_, i) => i * i));
  const found = [0, 1, 50, 95, 99, 100].map((percent) => histogram.percentileMs(percent) ?? -1);
  expect(found).toEqual(found.toSorted((a, b) => a - b));
  expect(found[5]).toBeGreaterThanOrEqual(998);
});
