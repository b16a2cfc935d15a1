// Manual pages in the macros of man(7): of a tool, from its rows, and of framepass, from the rows of all tools.
import { version } from "../../package.json";
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
  valueText,
} from "./options.ts";
import {
  type About,
  type Explained,
  environmentOf,
  exampleLine,
  optionsOf,
  type ToolText,
} from "./tool-text.ts";

/** The name of a page: "framepass-share" for "framepass share". */
export const pageName = (called: string) => called.replaceAll(" ", "-");

/** The page of a tool for section 1. `called` is what users type: "framepass share". */
export function manPage(tool: ToolText, called: string): string {
  const options = optionsOf(tool);
  const operands = Object.entries<Operand>(tool.operands ?? {});
  const words = operands.map(([name, operand]) => italic(operandText(name, operand)));
  return page(called, tool.summary, [
    ".SH SYNOPSIS",
    ".nh", // do not break lines inside an option
    `.B ${plain(called)}`,
    [...synopsis(options), ...words].join("\n"),
    ".SH OPTIONS",
    ...operands.flatMap(([name, operand]) => entry(italic(operand.value ?? name), operand)),
    ...grouped(options).flatMap(({ title, rows }) => [
      `.SS ${plain(title)}`,
      ...rows.flatMap(([name, option]) => entry(spelling(name, option), option)),
    ]),
    ...explained("KEYS", tool.keys),
    ".SH EXAMPLES",
    ...tool.examples.flatMap((example) =>
      exampleOf(example.does, exampleLine(tool, example, called)),
    ),
    ...explained("FILES", tool.files),
    ...explained("ENVIRONMENT", environmentOf(tool)),
    ...exitStatus(),
    ".SH SEE ALSO",
    ".BR framepass (1)",
    ".PP",
    "The README and docs/ of framepass: addresses, formats, protocol, limits.",
  ]);
}

/** The page framepass(1). `tools` are called as their pages are. */
export const mainPage = (
  { summary, firstSteps }: About,
  tools: readonly { readonly called: string; readonly summary: string }[],
): string =>
  page("framepass", summary, [
    ".SH SYNOPSIS",
    ".nh",
    `.B framepass`,
    `${italic("TOOL")} [${italic("OPTIONS")}]`,
    ".br",
    ".B framepass help",
    `[${italic("TOOL")}]`,
    ".br",
    ".B framepass version",
    ".SH DESCRIPTION",
    "The first word selects a tool. A link to the executable that is named like a tool runs that tool.",
    ".SH TOOLS",
    ...tools.flatMap((tool) => [
      ".TP",
      `.BR ${plain(pageName(tool.called))} (1)`,
      plain(tool.summary),
    ]),
    ".SH EXAMPLES",
    `${plain(firstSteps.where)}:`,
    ...firstSteps.examples.flatMap(({ does, line }) => exampleOf(does, line)),
    ...exitStatus(),
  ]);

const page = (called: string, summary: string, lines: readonly string[]): string =>
  [
    `.TH ${pageName(called).toUpperCase()} 1 "" "framepass ${version}" "framepass"`,
    ".SH NAME",
    `${plain(pageName(called))} \\- ${plain(summary)}`,
    ...lines,
    "",
  ].join("\n");

const exitStatus = (): string[] => [
  ".SH EXIT STATUS",
  ...Object.values(exitCodes).flatMap(({ status, meaning }) => [".TP", `${status}`, meaning]),
];

const explained = (title: string, rows: readonly Explained[] = []): string[] =>
  rows.length === 0
    ? []
    : [`.SH ${title}`, ...rows.flatMap(({ word, meaning }) => [".TP", bold(word), plain(meaning)])];

const exampleOf = (does: string, line: string): string[] => [
  ".PP",
  `${plain(sentence(does))}:`,
  ".PP",
  ".RS 4",
  ".nf",
  plain(line),
  ".fi",
  ".RE",
];

const sentence = (text: string) => `${text[0]?.toUpperCase()}${text.slice(1)}`;

/** The required options with their values, then "[OPTIONS]". */
const synopsis = (options: Options): string[] => [
  ...requiredOptions(options).map(
    ([name, option]) => `${bold(`--${name}`)} ${italic(valueText(option))}`,
  ),
  `[${italic("OPTIONS")}]`,
];

function spelling(name: string, option: Option): string {
  const short = option.short === undefined ? "" : `${bold(`-${option.short}`)}, `;
  const value = option.type === "flag" ? "" : ` ${italic(valueText(option))}`;
  return `${short}${bold(`--${name}`)}${value}`;
}

function entry(head: string, row: Option | Operand): string[] {
  const preset = defaultText(row);
  const otherwise = preset !== "" ? `; default ${preset}` : "required" in row ? "; required" : "";
  return [".TP", head, plain(`${row.help}${rangeText(row)}${otherwise}`)];
}

/** Escapes what troff would interpret. */
const plain = (text: string) =>
  text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^[.']/, "\\&$&");
const bold = (text: string) => `\\fB${plain(text)}\\fR`;
const italic = (text: string) => `\\fI${plain(text)}\\fR`;
