// The page as HTML: nothing in it is taken for markup, and its plots show what the figures were.
import { expect, test } from "bun:test";
import { streamFigures } from "../../src/cli/figures.ts";
import { chartHtml, niceTop } from "../../src/metrics/chart.ts";
import { History } from "../../src/metrics/history.ts";
import { figuresHtml, pageHtml } from "../../src/metrics/page.ts";
import { bytesText, durationText, grouped, shortNumber } from "../../src/metrics/texts.ts";

const about = {
  tool: "sender",
  version: "framepass 1",
  startedAt: Date.now() / 1000,
  pictures: false,
};

/** What a page shows that has frames of a receiver for some seconds. */
function shown(receiver: string, seconds: number) {
  const history = new History();
  let samples: Parameters<History["add"]>[0] = [];
  for (let second = 0; second <= seconds; second++) {
    samples = [
      {
        kind: streamFigures.frames,
        labels: { receiver },
        cells: Float64Array.of(30 * second),
      },
    ];
    history.add(samples, 1);
  }
  return figuresHtml({ samples, history, about, residentBytes: 1, cpuSeconds: 1 });
}

test("what a peer or a user named is text and never markup", () => {
  const hostile = '"><script>alert(1)</script>';
  for (const html of [shown(hostile, 3), pageHtml({ ...about, tool: hostile }, "")]) {
    expect(html).not.toContain("<script>alert");
    expect(html).toContain("&lt;script&gt;alert(1)&lt;/script&gt;");
  }
});

test("no attribute has a style or a handler, which the page's policy would not run", () => {
  expect(shown("unix:/a", 3)).not.toMatch(/ (style|on[a-z]+)=/);
  expect(pageHtml({ ...about, pictures: true }, "")).not.toMatch(/ (style|on[a-z]+)=/);
});

test("only the page of a receiver has a picture", () => {
  expect(pageHtml({ ...about, pictures: true }, "")).toContain('id="picture"');
  expect(pageHtml(about, "")).not.toContain("picture.png");
});

test("a plot begins when there is a rate, and has one value a second", () => {
  expect(shown("unix:/a", 0)).not.toContain("<svg");
  const html = shown("unix:/a", 4);
  const path = /class="line s0" d="([^"]*)"/.exec(html)?.[1] ?? "";
  expect(path.split("L").length).toBe(4);
  expect(html).toContain("<b>30</b>");
});

test("seconds without a value are a gap in the line", () => {
  const html = chartHtml("x", [{ name: "", values: [1, 2, Number.NaN, 2, 1] }]);
  expect(/class="line s0" d="([^"]*)"/.exec(html)?.[1]?.match(/M/g)?.length).toBe(2);
  expect(chartHtml("x", [{ name: "", values: [] }])).toContain("<b>\u2013</b>");
});

test.each([
  [0, 1],
  [0.3, 0.5],
  [1, 1],
  [29.97, 50],
  [60, 100],
  [1001, 2000],
])("the scale of a plot up to %d ends at %d", (value, top) => {
  expect(niceTop(value)).toBeCloseTo(top, 9);
});

test("values are short, and large ones have their unit", () => {
  expect([0, 0.2468, 29.97, 1234.5].map(shortNumber)).toEqual(["0", "0.247", "30", "1235"]);
  expect([999, 1000, 82_400_000, 3e15].map(bytesText)).toEqual([
    "999 B",
    "1 kB",
    "82.4 MB",
    "3 PB",
  ]);
  expect([9, 200, 18_600, 183_600].map(durationText)).toEqual([
    "9 s",
    "3 min 20 s",
    "5 h 10 min",
    "2 d 3 h",
  ]);
  expect(grouped(1_234_567)).toBe("1\u202f234\u202f567");
});
