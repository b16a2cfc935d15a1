// A tool's manual page in the macros of man(7), generated from its option rows.
import { version } from "../../package.json";
import { exitCodes } from "../errors.ts";
import {
  defaultText,
  type Operand,
  type Option,
  type Options,
  rangeText,
  valueText,
} from "./options.ts";
import { optionsOf, type Tool } from "./tool.ts";

/** The page for section 1. `called` is what users type: "framepass share" for a tool without a link. */
export function manPage(tool: Tool, called = tool.name): string {
  const title = called.replaceAll(" ", "-");
  const options = optionsOf(tool);
  const operands = Object.entries<Operand>(tool.operands ?? {});
  const words = operands.map(([name, { value }]) => italic(value ?? name));
  return [
    `.TH ${title.toUpperCase()} 1 "" "framepass ${version}" "framepass"`,
    ".SH NAME",
    `${plain(title)} \\- ${plain(tool.summary)}`,
    ".SH SYNOPSIS",
    ".nh", // do not break lines inside an option
    `.B ${plain(called)}`,
    [...synopsis(options), ...words].join("\n"),
    ".SH OPTIONS",
    ...operands.flatMap(([name, operand]) => entry(italic(operand.value ?? name), operand)),
    ...Object.entries(options).flatMap(([name, option]) => entry(spelling(name, option), option)),
    ".SH EXIT STATUS",
    ...Object.values(exitCodes).flatMap(({ status, meaning }) => [".TP", `${status}`, meaning]),
    ".SH SEE ALSO",
    "The README and docs/ of framepass: addresses, formats, protocol, limits.",
    "",
  ].join("\n");
}

/** The required options with their values, then "[OPTIONS]". */
const synopsis = (options: Options): string[] => [
  ...Object.entries(options)
    .filter(([, option]) => "required" in option)
    .map(([name, option]) => `${bold(`--${name}`)} ${italic(valueText(option))}`),
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
