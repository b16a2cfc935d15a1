import { expect, test } from "bun:test";
import { compare } from "./compare.ts";
import { type Column, type Figure, figuresOf, markdown, type Table } from "./figures.ts";

const rate: Column = { name: "rate", unit: "MB/s", digits: 0, better: "more" };
const cpu: Column = { name: "CPU", unit: "s", digits: 1, better: "less" };

/** The figures of a table with one row. */
const one = (column: Column, value: number): Figure[] =>
  figuresOf({ head: "YUYV", columns: [column], rows: [["640x480", value]] });
const verdicts = (before: Figure[], now: Figure[]) =>
  compare(before, now).changes.map(({ verdict }) => verdict);

test("a change of 5 % is not named, one of more is", () => {
  expect(verdicts(one(rate, 100), one(rate, 95))).toEqual([]);
  expect(verdicts(one(rate, 100), one(rate, 105))).toEqual([]);
  expect(verdicts(one(rate, 100), one(rate, 94.9))).toEqual(["worse"]);
  expect(verdicts(one(rate, 100), one(rate, 105.1))).toEqual(["better"]);
});

test("less is better where the column says so", () => {
  expect(verdicts(one(cpu, 1), one(cpu, 1.1))).toEqual(["worse"]);
  expect(verdicts(one(cpu, 1), one(cpu, 0.9))).toEqual(["better"]);
});

test("a baseline that has changed is named, and is neither better nor worse", () => {
  const c: Column = { name: "C rate", unit: "MB/s", digits: 0 };
  expect(verdicts(one(c, 100), one(c, 50))).toEqual(["other"]);
  expect(verdicts(one(c, 100), one(c, 200))).toEqual(["other"]);
});

test("the line of a change has the figure's name, both values, the unit and the percentage", () => {
  const [change] = compare(one(rate, 4000), one(rate, 3000)).changes;
  expect(change?.line).toBe("worse: YUYV 640x480: rate: 4000 -> 3000 MB/s (-25.0 %)");
});

test("a change within the slack of a column is not named, however many per cent it is", () => {
  const heap = { ...cpu, slack: 100 };
  expect(verdicts(one(heap, 10), one(heap, 110))).toEqual([]);
  expect(verdicts(one(heap, 10), one(heap, 111))).toEqual(["worse"]);
});

test("a figure that was 0 or negative is compared by what it has grown", () => {
  expect(verdicts(one(cpu, 0), one(cpu, 0))).toEqual([]);
  expect(compare(one(cpu, 0), one(cpu, 2)).changes[0]?.line).toBe(
    "worse: YUYV 640x480: CPU: 0 -> 2 s",
  );
  expect(verdicts(one(cpu, -100), one(cpu, -50))).toEqual(["worse"]);
  expect(verdicts(one(cpu, -100), one(cpu, -150))).toEqual(["better"]);
});

test("a figure that can no longer be measured is worse, and one that can again is better", () => {
  expect(verdicts(one(rate, 1), one(rate, Number.NaN))).toEqual(["worse"]);
  expect(verdicts(one(rate, Number.NaN), one(rate, 1))).toEqual(["better"]);
  expect(verdicts(one(rate, Number.NaN), one(rate, Number.NaN))).toEqual([]);
});

test("figures of one run alone are named, and not compared", () => {
  const { changes, compared, missing, added } = compare(one(rate, 1), one(cpu, 1));
  expect({ changes, compared }).toEqual({ changes: [], compared: 0 });
  expect(missing).toEqual(["YUYV 640x480: rate"]);
  expect(added).toEqual(["YUYV 640x480: CPU"]);
});

test("a figure whose unit has changed is not compared", () => {
  const { changes, missing, added } = compare(one({ ...rate, unit: "GB/s" }, 4), one(rate, 4000));
  expect({ changes, missing, added }).toEqual({
    changes: [],
    missing: ["YUYV 640x480: rate"],
    added: ["YUYV 640x480: rate"],
  });
});

const table: Table = {
  head: "YUYV",
  columns: [
    { ...rate, bar: 100 },
    { ...cpu, bar: 1, parts: ["sender", "receiver"] },
  ],
  rows: [
    ["640x480", 120.4, [0.5, 1.25]],
    ["1920x1080", { value: 90, bar: 80 }, undefined],
  ],
};

test("each value of a table is a figure with its bar: a row's own, or else the column's", () => {
  expect(figuresOf(table)).toEqual([
    { name: "YUYV 640x480: rate", unit: "MB/s", value: 120.4, better: "more", bar: 100, met: true },
    { name: "YUYV 640x480: CPU, sender", unit: "s", value: 0.5, better: "less", bar: 1, met: true },
    {
      ...{ name: "YUYV 640x480: CPU, receiver", unit: "s", value: 1.25, better: "less" },
      ...{ bar: 1, met: false },
    },
    { name: "YUYV 1920x1080: rate", unit: "MB/s", value: 90, better: "more", bar: 80, met: true },
  ]);
});

test("the printed table has the bars in brackets, and says which were missed", () => {
  expect(markdown(table)).toBe(
    [
      "| YUYV | rate MB/s | CPU s, sender / receiver |",
      "| --- | --- | --- |",
      "| 640x480 | 120 (100) | 0.5 / 1.3 (1, missed) |",
      "| 1920x1080 | 90 (80) |  |",
      "",
    ].join("\n"),
  );
});

test("the figures of a row that is not ours have no bar, and no direction", () => {
  const [figure] = figuresOf({ ...table, baselines: ["640x480"] });
  expect(figure).toEqual({
    name: "YUYV 640x480: rate",
    unit: "MB/s",
    value: 120.4,
    bar: null,
    met: null,
  });
  expect(markdown({ ...table, baselines: ["640x480"] })).toContain("| 640x480 | 120 | 0.5 / 1.3 |");
});

test("what is not a number meets no bar", () => {
  for (const column of table.columns) {
    const [figure] = figuresOf({ ...table, columns: [column], rows: [["x", Number.NaN]] });
    expect(figure).toMatchObject({ value: null, met: false });
  }
});
