// The page of --metrics as HTML. All of it is made here; the script only replaces the figures and the picture once a second, and
// without scripts the page reloads itself.
import { type FigureKind, streamFigures } from "../cli/figures.ts";
import { chartHtml, type Line } from "./chart.ts";
import type { ProcessState, Sample } from "./exposition.ts";
import type { History, Series } from "./history.ts";
import type { About } from "./messages.ts";
import { histogramCells } from "./shared-figures.ts";
import { bytesText, durationText, escapeHtml, grouped, shortNumber } from "./texts.ts";

/** What the page shows at one moment. */
export interface Shown extends ProcessState {
  readonly samples: readonly Sample[];
  readonly history: History;
  readonly about: About;
}

/** The whole page around the `figures`. */
export function pageHtml({ tool, pictures, version }: About, figures: string): string {
  const name = escapeHtml(tool);
  const picture = pictures
    ? `<div class="picture"><img id="picture" alt="the newest picture" hidden><p id="no-picture">No picture yet</p><noscript><img src="picture.png" alt="the newest picture"></noscript></div>`
    : "";
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${name}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="icon.svg" type="image/svg+xml"><link rel="stylesheet" href="page.css">
<noscript><meta http-equiv="refresh" content="2"></noscript><script src="page.js" defer></script></head>
<body><header><h1>${name}</h1><p id="lost" hidden>no answer from the tool</p></header>
<main${pictures ? ' class="pictures"' : ""}>${picture}<div id="figures">${figures}</div></main>
<footer><span>${escapeHtml(version)}</span><a href="metrics">metrics</a><a href="healthz">healthz</a></footer></body></html>
`;
}

/** The part that changes: tiles, plots and all figures. */
export function figuresHtml(shown: Shown): string {
  const { samples, history, about, residentBytes, cpuSeconds } = shown;
  const streaming = totalOf(samples, streamFigures.streaming);
  const state = streaming === undefined ? "running" : streaming > 0 ? "streaming" : "waiting";
  const up = Date.now() / 1000 - about.startedAt;
  const tiles = [
    ["state", state],
    ["running for", durationText(up)],
    ["memory", bytesText(residentBytes)],
    ["processor time", `${shortNumber(cpuSeconds)} s`],
  ];
  return [
    `<dl class="tiles ${state}">${tiles.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join("")}</dl>`,
    `<section class="charts">${charts(history)}</section>`,
    `<details open><summary>All figures</summary><table>${samples.map(row).join("")}</table></details>`,
  ].join("");
}

/** The sum of all samples of a kind; undefined without one. */
function totalOf(samples: readonly Sample[], { metric }: FigureKind): number | undefined {
  const found = samples.filter(({ kind }) => kind.metric === metric);
  if (found.length === 0) return undefined;
  return found.reduce((sum, { cells }) => sum + (cells[0] ?? 0), 0);
}

function charts(history: History): string {
  const plotted = history.series().filter(({ kind }) => kind.plot !== undefined);
  const groups = Map.groupBy(plotted, ({ kind }) => kind.metric);
  return [...groups.values()]
    .filter((group) => group.some(hasValues))
    .map((group) => {
      const { title = "" } = group[0]?.kind.plot ?? {};
      return chartHtml(
        title,
        group.flatMap((series) => linesOf(series, group.length > 1)),
      );
    })
    .join("");
}

const hasValues = ({ lines }: Series) => lines.some((line) => line.some(Number.isFinite));

function linesOf({ kind, labels, lines }: Series, several: boolean): Line[] {
  const scale = kind.plot?.scale ?? 1;
  const whose = several ? Object.values(labels).join(" ") : "";
  return lines.map((values, i) => {
    const percentile = kind.type === "histogram" ? (["median", "99 %"][i] ?? "") : "";
    const name = [whose, percentile].filter((part) => part !== "").join(" ");
    return { name, values: values.map((value) => value * scale) };
  });
}

function row({ kind, labels, cells }: Sample): string {
  const names = Object.entries(labels).map(([key, value]) => `${key} ${value}`);
  const of = names.length > 0 ? ` <i>${escapeHtml(names.join(", "))}</i>` : "";
  const name = escapeHtml(kind.metric);
  return `<tr><th title="${escapeHtml(kind.help)}">${name}${of}</th><td>${valueText(kind, cells)}</td></tr>`;
}

function valueText({ type, metric }: FigureKind, cells: Float64Array): string {
  const value = cells[0] ?? 0;
  if (type === "histogram") {
    const meanMs = value === 0 ? 0 : (cells[histogramCells.sumUs] ?? 0) / value / 1000;
    return `${grouped(value)}${value === 0 ? "" : `, mean ${shortNumber(meanMs)} ms`}`;
  }
  if (metric.includes("_bytes")) return bytesText(value);
  return metric.includes("_seconds") ? durationText(value) : grouped(value);
}
