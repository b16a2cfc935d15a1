// The files of the page that never change: style sheet, script and icon. They are text here, so that they are in the executable.

export const style = `:root {
  color-scheme: light dark;
  --back: #f4f5f7; --card: #fff; --text: #1c2430; --dim: #66707f; --edge: #dde1e7; --good: #12805c; --bad: #b3261e;
  --s0: #2563c9; --s1: #c2570c; --s2: #12805c; --s3: #8b3fb8; --s4: #b3261e; --s5: #5c6b7a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #12161c; --card: #1b212a; --text: #e6eaf0; --dim: #95a0b0; --edge: #2e3743; --good: #4fc79a; --bad: #ff8a80;
    --s0: #6ea8ff; --s1: #ffa35c; --s2: #4fc79a; --s3: #cf94f5; --s4: #ff8a80; --s5: #a9b6c4;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 16px; background: var(--back); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif; }
header, footer { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 16px; }
h1 { margin: 0; font-size: 22px; }
#lost { margin: 0; color: var(--bad); font-weight: 600; }
footer { margin-top: 16px; color: var(--dim); font-size: 13px; }
a { color: var(--s0); }
main, #figures { display: grid; grid-template-columns: minmax(0, 1fr); gap: 12px; }
main { margin-top: 12px; }
@media (min-width: 900px) {
  main.pictures { grid-template-columns: fit-content(50%) minmax(0, 1fr); align-items: start; }
  .pictures #figures { display: contents; }
  .pictures .picture { grid-row: 1 / span 2; }
  .pictures .charts { align-self: start; }
  .pictures details { grid-column: 1 / -1; }
}
.picture, .chart, .tiles div, details { background: var(--card); border: 1px solid var(--edge); border-radius: 8px; }
.picture { min-width: 0; padding: 8px; text-align: center; }
.picture img { display: block; max-width: 100%; height: auto; margin: 0 auto; border-radius: 2px; }
.picture img[hidden] { display: none; }
.picture p { margin: 48px 16px; color: var(--dim); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(125px, 1fr)); gap: 8px; margin: 0; }
.tiles div { padding: 8px 12px; }
dt { color: var(--dim); font-size: 13px; }
dd { margin: 0; font-size: 18px; font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap; }
.streaming div:first-child dd { color: var(--good); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(250px, 1fr)); gap: 12px; }
.chart { margin: 0; padding: 10px 12px 8px; min-width: 0; }
figcaption { display: flex; flex-wrap: wrap; gap: 2px 12px; font-size: 13px; color: var(--dim); }
figcaption .title { flex: 1 1 auto; color: var(--text); font-weight: 600; }
figcaption b { color: var(--text); font-variant-numeric: tabular-nums; }
.key { display: inline-block; width: 9px; height: 9px; margin-right: 4px; border-radius: 2px; }
.plot { position: relative; margin-top: 6px; }
.plot svg { display: block; width: 100%; height: 120px; overflow: visible; }
.plot span { position: absolute; left: 2px; padding: 0 3px; background: var(--card); border-radius: 3px; font-size: 11px;
  line-height: 14px; color: var(--dim); }
.plot .top { top: 2px; } .plot .bottom { bottom: 2px; }
.times { display: flex; justify-content: space-between; font-size: 11px; color: var(--dim); }
.grid { fill: none; stroke: var(--edge); stroke-width: 1; vector-effect: non-scaling-stroke; }
.line { fill: none; stroke: currentColor; stroke-width: 1.75; stroke-linejoin: round; vector-effect: non-scaling-stroke; }
.area { fill: currentColor; opacity: 0.14; stroke: none; }
.s0 { color: var(--s0); } .s1 { color: var(--s1); } .s2 { color: var(--s2); }
.s3 { color: var(--s3); } .s4 { color: var(--s4); } .s5 { color: var(--s5); }
.key { background: currentColor; }
details { padding: 10px 12px; overflow-x: auto; }
summary { cursor: pointer; font-weight: 600; font-size: 13px; }
table { width: 100%; margin-top: 6px; border-collapse: collapse; font-size: 13px; }
th { padding: 2px 8px 2px 0; text-align: left; font-weight: 400; overflow-wrap: anywhere; }
th i { color: var(--dim); font-style: normal; }
td { padding: 2px 0; text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
tr + tr th, tr + tr td { border-top: 1px solid var(--edge); }
`;

/** Asks for figures and picture once a second while the page is visible; for a picture only while a stream runs. */
export const script = `"use strict";
const figures = document.getElementById("figures");
const lost = document.getElementById("lost");
const picture = document.getElementById("picture");
const noPicture = document.getElementById("no-picture");
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const streams = () => figures.querySelector(".streaming") !== null;

async function showFigures() {
  try {
    const answer = await fetch("figures");
    if (!answer.ok) throw new Error(answer.status);
    const open = figures.querySelector("details").open;
    figures.innerHTML = await answer.text();
    figures.querySelector("details").open = open;
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
}

function showPicture() {
  return new Promise((resolve) => {
    picture.onload = () => {
      picture.hidden = false;
      noPicture.hidden = true;
      resolve();
    };
    picture.onerror = resolve;
    picture.src = "picture.png?" + Date.now();
  });
}

async function each(action) {
  for (;;) {
    if (document.visibilityState === "visible") await action();
    await sleep(1000);
  }
}

each(showFigures);
if (picture !== null) each(async () => { if (streams()) await showPicture(); });
`;

export const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#2563c9"/><path d="M2 11l3-4 3 3 2-5 4 4" fill="none" stroke="#fff" stroke-width="1.6"/></svg>
`;
