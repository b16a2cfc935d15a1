// The figures of a bench: rows of tables. What is printed, the JSON and the comparison with an earlier run derive from them.

/** One kind of figure: a column of a table. */
export interface Column {
  readonly name: string;
  /** "" for a ratio or a count. */
  readonly unit: string;
  /** Digits after the point in the printed table. */
  readonly digits: number;
  /** Which change is an improvement. Left out for figures that are not ours, as those of a baseline: they have no bar. */
  readonly better?: "more" | "less";
  /** The least that is wanted, or the most where less is better. */
  readonly bar?: number;
  /** What the values of one cell belong to, such as sender and receiver; left out where a cell has one value. */
  readonly parts?: readonly string[];
  /** A change up to this, in the unit, is noise however many per cent it is. For values near 0. */
  readonly slack?: number;
}

/** A value, one for each of `parts`, or with a bar of its own; undefined where nothing was measured. */
export type Cell =
  | number
  | readonly number[]
  | { readonly value: number; readonly bar: number }
  | undefined;

export interface Table {
  /** What the rows are. */
  readonly head: string;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly [name: string, ...cells: Cell[]])[];
  /** Rows that are not ours: no change of theirs is an improvement, and they have no bars. */
  readonly baselines?: readonly string[];
}

export interface Figure {
  /** "YUYV 640x480: CPU, receiver". */
  readonly name: string;
  readonly unit: string;
  /** null: it could not be measured. */
  readonly value: number | null;
  readonly better?: "more" | "less";
  readonly slack?: number;
  /** null: there is none. */
  readonly bar: number | null;
  readonly met: boolean | null;
}

const SIGNIFICANT = 6;

/** The values of a cell, each with the part that it belongs to, and its bar. */
function valuesOf(column: Column, cell: Cell) {
  if (cell === undefined) return [];
  const own = typeof cell === "object" && "bar" in cell;
  const values = own ? [cell.value] : [cell].flat();
  const bar = own ? cell.bar : column.bar;
  return values.map((value, i) => ({ value, part: column.parts?.[i], bar }));
}

/** NaN meets no bar. */
function isMet({ better }: Column, value: number, bar: number): boolean {
  return better === "more" ? value >= bar : value <= bar;
}

/** The columns for a row. */
function columnsOf(columns: readonly Column[], isBaseline = false): readonly Column[] {
  if (!isBaseline) return columns;
  return columns.map(({ better: _, bar: __, ...column }) => column);
}

/** All figures of a table, row by row. */
export function figuresOf({ head, columns, rows, baselines }: Table): Figure[] {
  return rows.flatMap(([row, ...cells]) =>
    columnsOf(columns, baselines?.includes(row)).flatMap((column, i) =>
      valuesOf(column, cells[i]).map(({ value, part, bar }) => ({
        name: `${[head, row].filter(Boolean).join(" ")}: ${[column.name, part].filter(Boolean).join(", ")}`,
        unit: column.unit,
        value: Number.isFinite(value) ? Number(value.toPrecision(SIGNIFICANT)) : null,
        ...(column.better !== undefined && { better: column.better }),
        ...(column.slack !== undefined && { slack: column.slack }),
        bar: bar ?? null,
        met: bar === undefined ? null : isMet(column, value, bar),
      })),
    ),
  );
}

/** A table in Markdown, as docs/figures.md shows them: bars in brackets. */
export function markdown({ head, columns, rows, baselines }: Table): string {
  const titles = columns.map(({ name, unit, parts = [] }) =>
    [`${name} ${unit}`.trim(), ...(parts.length > 0 ? [parts.join(" / ")] : [])].join(", "),
  );
  const text = (column: Column, cell: Cell) => {
    const values = valuesOf(column, cell);
    const shown = values.map(({ value }) => value.toFixed(column.digits)).join(" / ");
    const bar = values[0]?.bar;
    if (bar === undefined) return shown;
    const met = values.every(({ value }) => isMet(column, value, bar));
    return `${shown} (${bar}${met ? "" : ", missed"})`;
  };
  const body = rows.map(([row, ...cells]) => {
    const own = columnsOf(columns, baselines?.includes(row));
    return [row, ...own.map((column, i) => text(column, cells[i]))];
  });
  const lines = [[head, ...titles], ["", ...titles].map(() => "---"), ...body];
  return lines.map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}
