// The text of --help, from the rows of a tool, for a terminal of 80 columns.
import { styleText } from "node:util";
import { exitCodes } from "../errors.ts";
import { grouped } from "./groups.ts";
import {
  defaultText,
  type Operand,
  type Option,
  type Options,
  operandText,
  rangeText,
  requiredOptions,
  spelled,
  valueText,
} from "./options.ts";
import { type Explained, exampleLine, optionsOf, type ToolText } from "./tool-text.ts";

const COLUMNS = 80;
/** The column of the descriptions. A longer name stands on a line of its own. */
const SECOND = 26;

interface HelpOptions {
  /** What users type to call the tool. */
  readonly called: string;
  /** Whether headings are bold. */
  readonly styled: boolean;
}

/** The help of a tool. No line is longer than 80 columns, unless it is one long word or a line to be typed. */
export function helpText(tool: ToolText, { called, styled }: HelpOptions): string {
  const options = optionsOf(tool);
  const heading = (text: string) =>
    styled ? styleText("bold", text, { validateStream: false }) : text;
  const operands = Object.entries<Operand>(tool.operands ?? {});
  const section = (title: string, lines: readonly string[]) =>
    lines.length === 0 ? [] : ["", heading(`${title}:`), ...lines];
  const explained = (rows: readonly Explained[] = []) =>
    rows.flatMap(({ word, meaning }) => entry(word, meaning));
  return [
    ...wrapped(tool.summary, COLUMNS),
    "",
    ...wrapped(`${heading("Usage:")} ${usage(called, options, operands)}`, COLUMNS, "  "),
    ...section(
      "Words",
      operands.flatMap(([name, row]) => entry(row.value ?? name, described(row))),
    ),
    ...grouped(options).flatMap(({ title, rows }) =>
      section(
        title,
        rows.flatMap(([name, row]) => entry(optionHead(name, row), described(row))),
      ),
    ),
    ...section("Keys", explained(tool.keys)),
    ...section(
      "Examples",
      tool.examples.flatMap((example) => [
        ...wrapped(`  # ${example.does}`, COLUMNS, "  # "),
        `  ${exampleLine(tool, example, called)}`,
      ]),
    ),
    ...section(
      "Exit status",
      Object.values(exitCodes).flatMap(({ status, meaning }) => entry(`${status}`, meaning, 8)),
    ),
  ].join("\n");
}

/** "sender [OPTIONS] --address ADDRESS". */
function usage(called: string, options: Options, operands: readonly [string, Operand][]): string {
  const required = requiredOptions(options).map(
    ([name, option]) => `--${name} ${valueText(option)}`,
  );
  const words = operands.map(([name, operand]) => operandText(name, operand));
  return [called, "[OPTIONS]", ...required, ...words].join(" ");
}

/** "-d, --device DEVICE"; options without a letter are indented like those with one. */
function optionHead(name: string, option: Option): string {
  const value = option.type === "flag" ? "" : ` ${valueText(option)}`;
  return `${option.short === undefined ? "    " : ""}${spelled(name, option)}${value}`;
}

function described(row: Option | Operand): string {
  const preset = defaultText(row);
  const otherwise = preset !== "" ? ` [${preset}]` : "required" in row ? " [required]" : "";
  return `${row.help}${rangeText(row)}${otherwise}`;
}

/** A name, and its description in the second column. */
export function entry(head: string, text: string, second = SECOND): string[] {
  const lines = wrapped(text, COLUMNS - second);
  const indented = lines.map((line) => `${" ".repeat(second)}${line}`);
  const first = `  ${head}`;
  if (first.length > second - 2) return [first, ...indented];
  return [`${first.padEnd(second)}${lines[0] ?? ""}`, ...indented.slice(1)];
}

/** `text` in lines of at most `width` columns, broken at blanks. Lines after the first start with `indent`. */
function wrapped(text: string, width: number, indent = ""): string[] {
  const lines: string[] = [];
  let line = /^ */.exec(text)?.[0] ?? "";
  let empty = true;
  for (const word of text.trim().split(" ")) {
    if (!empty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line];
}
