// Compares the figures of a run with those of an earlier one.
import type { Figure } from "./figures.ts";

/** A change of more than this part of the earlier value is named. */
const LIMIT = 0.05;

export interface Change {
  readonly name: string;
  /** "other": the figure is not ours, as that of a baseline; it says that the machine was different. */
  readonly verdict: "better" | "worse" | "other";
  readonly line: string;
}

export interface Comparison {
  readonly changes: readonly Change[];
  /** Figures that both runs have. */
  readonly compared: number;
  /** Names of figures that one run alone has. */
  readonly missing: readonly string[];
  readonly added: readonly string[];
}

/** Figures are the same when name and unit are: values in another unit cannot be compared. */
const keyOf = ({ name, unit }: Figure) => `${name}\n${unit}`;

/** What has changed by more than 5 %, in the order of `now`. */
export function compare(before: readonly Figure[], now: readonly Figure[]): Comparison {
  const earlier = new Map(before.map((figure) => [keyOf(figure), figure]));
  const later = new Set(now.map(keyOf));
  const both = now.filter((figure) => earlier.has(keyOf(figure)));
  return {
    changes: both.flatMap((figure) => changeOf(earlier.get(keyOf(figure))?.value ?? null, figure)),
    compared: both.length,
    missing: before.filter((figure) => !later.has(keyOf(figure))).map(({ name }) => name),
    added: now.filter((figure) => !earlier.has(keyOf(figure))).map(({ name }) => name),
  };
}

function changeOf(before: number | null, { name, unit, value, better, slack }: Figure): Change[] {
  if (before === value) return [];
  const difference = (value ?? Number.NaN) - (before ?? Number.NaN);
  const limit = Math.max(Math.abs(before ?? 0) * LIMIT, slack ?? 0);
  if (Math.abs(difference) <= limit) return [];
  const verdict = verdictOf(before, value, better);
  const percent = difference / Math.abs(before ?? 0);
  const signed = Number.isFinite(percent)
    ? ` (${percent > 0 ? "+" : ""}${(percent * 100).toFixed(1)} %)`
    : "";
  const shown = (of: number | null) => (of === null ? "nothing" : `${of}`);
  const line = `${verdict}: ${name}: ${shown(before)} -> ${shown(value)} ${unit}`.trimEnd();
  return [{ name, verdict, line: `${line}${signed}` }];
}

/** A figure that can no longer be measured is worse. */
function verdictOf(
  before: number | null,
  value: number | null,
  better: Figure["better"],
): Change["verdict"] {
  if (better === undefined) return "other";
  if (value === null) return "worse";
  if (before === null) return "better";
  return value > before === (better === "more") ? "better" : "worse";
}
