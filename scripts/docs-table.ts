// Tables in Markdown.

/** A table with its columns padded, as an editor's formatter leaves it. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [heads, ...rows].map((row) => row.map((cell) => cell.replaceAll("|", "\\|")));
  const widths = heads.map((_, i) => Math.max(3, ...cells.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[], filler = " ") =>
    `| ${widths.map((width, i) => (row[i] ?? "").padEnd(width, filler)).join(" | ")} |`;
  const [head = [], ...body] = cells;
  return [line(head), line([], "-"), ...body.map((row) => line(row))].join("\n");
}

export const hexadecimal = (value: number, digits = 1) =>
  `0x${value.toString(16).padStart(digits, "0")}`;
