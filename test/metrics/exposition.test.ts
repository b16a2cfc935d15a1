// The text for Prometheus, read by a strict reader, and what reaches it through shared memory.
import { expect, test } from "bun:test";
import { type FigureKind, streamFigures } from "../../src/cli/figures.ts";
import { Histogram } from "../../src/cli/histogram.ts";
import { exposition } from "../../src/metrics/exposition.ts";
import { FigureBoard } from "../../src/metrics/figure-board.ts";
import { History } from "../../src/metrics/history.ts";
import { FigureGroup } from "../../src/metrics/shared-figures.ts";
import { eachFrontEndFigures, frontEndFigure, ringFigures } from "../../src/vhost/counts.ts";
import { readExposition, valueIn } from "../support/exposition.ts";

const about = { tool: "receiver", version: "framepass 1", startedAt: 1.5e9, pictures: true };
const state = { residentBytes: 4096, cpuSeconds: 0.25 };

function textOf(groups: readonly FigureGroup[]): string {
  const board = new FigureBoard();
  for (const [i, { shared, memory }] of groups.entries()) board.add(i, shared, memory);
  return exposition(board.samples(), about, state);
}

test("every figure of every tool follows the format and the rules for names", () => {
  const kinds: FigureKind[] = [
    ...Object.values(streamFigures),
    frontEndFigure,
    ...Object.values(ringFigures),
    ...Object.values(eachFrontEndFigures),
  ];
  const figures = kinds.map((kind) => ({
    kind,
    value: kind.type === "histogram" ? new Histogram() : () => 1,
    labels: Object.fromEntries(Object.keys(kind.labels ?? {}).map((label) => [label, "x"])),
  }));
  const families = readExposition(textOf([new FigureGroup(figures, {})]));
  for (const { metric, type } of kinds) expect(families.get(metric)?.type).toBe(type);
  expect(valueIn(families, "process_resident_memory_bytes")).toBe(4096);
  expect(valueIn(families, "process_cpu_seconds_total")).toBe(0.25);
  expect(valueIn(families, "process_start_time_seconds")).toBe(1.5e9);
  expect(valueIn(families, "framepass_build_info", { tool: "receiver" })).toBe(1);
});

test("several receivers are samples of one family, told apart by a label", () => {
  const groups = ["unix:/a", 'b\\"\n'].map(
    (receiver, i) =>
      new FigureGroup([{ kind: streamFigures.frames, value: () => i + 1 }], { receiver }),
  );
  const families = readExposition(textOf(groups));
  expect(valueIn(families, "framepass_frames_total", { receiver: "unix:/a" })).toBe(1);
  expect(valueIn(families, "framepass_frames_total", { receiver: 'b\\"\n' })).toBe(2);
});

test("a histogram has its sum, its count and buckets that add up", () => {
  const latency = new Histogram();
  const group = new FigureGroup([{ kind: streamFigures.latency, value: latency }], {});
  for (const us of [300, 900, 900, 15_000, 3e6]) latency.add(us);
  group.update();
  const families = readExposition(textOf([group]));
  const at = (le: string) => valueIn(families, "framepass_latency_seconds_bucket", { le });
  expect(["0.0005", "0.001", "0.02", "2", "+Inf"].map(at)).toEqual([1, 3, 4, 4, 5]);
  expect(valueIn(families, "framepass_latency_seconds_sum")).toBeCloseTo(3.0171, 9);
  expect(valueIn(families, "framepass_latency_seconds_count")).toBe(5);
});

test("values change in shared memory when they are updated, and stay after the end", () => {
  let frames = 1;
  const group = new FigureGroup([{ kind: streamFigures.frames, value: () => frames }], {});
  const shown = () => valueIn(readExposition(textOf([group])), "framepass_frames_total");
  frames = 2;
  expect(shown()).toBe(1);
  group.update();
  expect(shown()).toBe(2);
  frames = 3;
  group[Symbol.dispose]();
  frames = 4;
  group.update();
  expect(shown()).toBe(3);
});

test("a counter never goes down, also when frames are taken back, and a gauge does", () => {
  let value = 10;
  const kinds = [streamFigures.frames, streamFigures.streaming];
  const group = new FigureGroup(
    kinds.map((kind) => ({ kind, value: () => value })),
    {},
  );
  const shown = (now: number) => {
    value = now;
    group.update();
    const families = readExposition(textOf([group]));
    return kinds.map(({ metric }) => valueIn(families, metric));
  };
  expect([shown(10), shown(8), shown(9), shown(12)]).toEqual([
    [10, 10],
    [10, 8],
    [10, 9],
    [12, 12],
  ]);
});

test("the history has rates of counters and percentiles of the second, for five minutes", () => {
  const latency = new Histogram();
  let frames = 0;
  const group = new FigureGroup(
    [
      { kind: streamFigures.frames, value: () => frames },
      { kind: streamFigures.latency, value: latency },
      { kind: streamFigures.streaming, value: () => 1 },
    ],
    {},
  );
  const board = new FigureBoard();
  board.add(0, group.shared, group.memory);
  const history = new History();
  history.add(board.samples(), 1);
  for (let second = 0; second < 310; second++) {
    frames += 60;
    if (second === 309) for (let i = 0; i < 100; i++) latency.add(i < 98 ? 1000 : 20_000);
    group.update();
    history.add(board.samples(), 2);
  }
  const [rates, ages, ...more] = history.series();
  expect(more).toEqual([]);
  expect(history.seconds).toBe(300);
  expect(rates?.lines).toEqual([Array(300).fill(30)]);
  const [median = [], most = []] = ages?.lines ?? [];
  expect(median.length).toBe(300);
  expect(median.at(-2)).toBeNaN();
  expect(median.at(-1)).toBeCloseTo(1, 1);
  expect(most.at(-1)).toBeCloseTo(20, 0);
});

test("figures that were withdrawn are neither shown nor remembered; the others stay", () => {
  const board = new FigureBoard();
  const history = new History();
  const groups = ["1", "2"].map((front_end) => {
    const { requests } = eachFrontEndFigures;
    return new FigureGroup([{ kind: requests, value: () => 5 }], { front_end });
  });
  for (const [i, { shared, memory }] of groups.entries()) board.add(i, shared, memory);
  history.add(board.samples(), 1);
  board.remove(0);
  history.add(board.samples(), 1);
  const labels = [{ front_end: "2" }];
  expect(board.samples().map((sample) => sample.labels)).toEqual(labels);
  expect(history.series().map((series) => series.labels)).toEqual(labels);
});

test.each([
  ["no TYPE", "# HELP framepass_x_total a\nframepass_x_total 1\n"],
  ["a counter without _total", "# HELP framepass_x a\n# TYPE framepass_x counter\nframepass_x 1\n"],
  ["milliseconds", "# HELP framepass_x_ms a\n# TYPE framepass_x_ms gauge\nframepass_x_ms 1\n"],
  ["no last line end", "# HELP framepass_x a\n# TYPE framepass_x gauge\nframepass_x 1"],
  ["no number", "# HELP framepass_x a\n# TYPE framepass_x gauge\nframepass_x one\n"],
  [
    "a sample that comes twice",
    "# HELP framepass_x a\n# TYPE framepass_x gauge\nframepass_x 1\nframepass_x 2\n",
  ],
])("the reader of these tests refuses %s", (_, text) => {
  expect(() => readExposition(text)).toThrow();
});
