// A plot of the last five minutes as SVG. Its colours and line widths are in the style sheet; its texts are HTML, so that they are
// not stretched with it.
import { HISTORY_S } from "./history.ts";
import { escapeHtml, shortNumber } from "./texts.ts";

/** Size of the drawing in its own units. */
const WIDTH = 600;
const HEIGHT = 120;
/** Different colours in the style sheet. */
const COLOURS = 6;

export interface Line {
  /** Empty where the chart has one line only. */
  readonly name: string;
  /** Per second, oldest first; the last is now. NaN: not known. */
  readonly values: readonly number[];
}

/** A chart with one scale for all lines. */
export function chartHtml(title: string, lines: readonly Line[]): string {
  const top = niceTop(
    Math.max(0, ...lines.flatMap(({ values }) => values.filter(Number.isFinite))),
  );
  const shapes = lines.flatMap(({ values }, i) => pathsOf(values, top, i, lines.length === 1));
  const keys = lines.map(({ name, values }, i) => {
    const now = values.findLast(Number.isFinite);
    const key = name === "" ? "" : `<i class="key s${i % COLOURS}"></i>${escapeHtml(name)} `;
    return `<span>${key}<b>${now === undefined ? "–" : shortNumber(now)}</b></span>`;
  });
  const grid = [0, 0.25, 0.5, 0.75, 1].map((part) => line(0, part * HEIGHT, WIDTH, part * HEIGHT));
  return [
    `<figure class="chart"><figcaption><span class="title">${escapeHtml(title)}</span>${keys.join("")}</figcaption>`,
    `<div class="plot"><span class="top">${shortNumber(top)}</span><span class="bottom">0</span>`,
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${escapeHtml(title)}">`,
    `<path class="grid" d="${grid.join("")}"/>`,
    ...shapes,
    "</svg></div>",
    '<div class="times"><span>5 min ago</span><span>now</span></div></figure>',
  ].join("");
}

const line = (x1: number, y1: number, x2: number, y2: number) => `M${x1} ${y1}L${x2} ${y2}`;

/** The line, and where it is alone the area under it. */
function pathsOf(values: readonly number[], top: number, index: number, alone: boolean): string[] {
  const x = (i: number) =>
    tenth(WIDTH - ((values.length - 1 - i) * WIDTH) / Math.max(1, HISTORY_S - 1));
  const y = (value: number) => tenth(HEIGHT - (value / top) * (HEIGHT - 2) - 1);
  const runs: string[][] = [[]];
  for (const [i, value] of values.entries()) {
    if (Number.isFinite(value)) runs.at(-1)?.push(`${x(i)} ${y(value)}`);
    else if (runs.at(-1)?.length !== 0) runs.push([]);
  }
  const known = runs.filter((run) => run.length > 0);
  if (known.length === 0) return [];
  const path = known.map((run) => `M${run.join("L")}${run.length === 1 ? "h1" : ""}`).join("");
  const area = known.map((run) => {
    const from = run[0]?.split(" ")[0];
    const to = run.at(-1)?.split(" ")[0];
    return `M${from} ${HEIGHT}L${run.join("L")}L${to} ${HEIGHT}Z`;
  });
  const colour = `s${index % COLOURS}`;
  const drawn = `<path class="line ${colour}" d="${path}"/>`;
  return alone ? [`<path class="area ${colour}" d="${area.join("")}"/>`, drawn] : [drawn];
}

const tenth = (value: number) => Math.round(value * 10) / 10;

/** The next of 1, 2, 5, 10, 20 ... that is not below `value`. */
export function niceTop(value: number): number {
  if (value <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 5, 10].find((factor) => factor * unit >= value * (1 - 1e-9)) ?? 10;
  return step * unit;
}
