// What the completions of all shells know about the tools, from their option rows.
import { type Completion, completionOf, type Option } from "../../cli/options.ts";
import { optionsOf, type ToolText } from "../../cli/tool-text.ts";

export interface CompletedOption {
  /** "-d", "--device". */
  readonly spellings: readonly string[];
  readonly help: string;
  /** The placeholder of the value; undefined for a flag. */
  readonly value: string | undefined;
  readonly repeats: boolean;
  readonly completion: Completion;
}

export interface CompletedTool {
  readonly name: string;
  readonly summary: string;
  /** Whether it is completed under its own name, too: there is a link to it. */
  readonly linked: boolean;
  readonly options: readonly CompletedOption[];
  readonly operands: readonly { readonly value: string; readonly completion: Completion }[];
}

/** The model of a tool. `links` says whether links are installed. */
export const completedTool = (tool: ToolText, links: boolean): CompletedTool => ({
  name: tool.name,
  summary: tool.summary,
  linked: links && tool.unlinked !== true,
  options: Object.entries(optionsOf(tool)).map(([name, option]) => ({
    spellings: [...(option.short === undefined ? [] : [`-${option.short}`]), `--${name}`],
    help: option.help,
    value: placeholder(option),
    repeats: option.type === "list",
    completion: completionOf(option) ?? {},
  })),
  operands: Object.entries(tool.operands ?? {}).map(([name, operand]) => ({
    value: operand.value ?? name,
    completion: completionOf(operand) ?? {},
  })),
});

/** The spellings of options that have a value: the word after one of them is no operand. */
export const valuedSpellings = ({ options }: CompletedTool): string[] =>
  options.flatMap(({ value, spellings }) => (value === undefined ? [] : spellings));

const placeholder = (option: Option) =>
  option.type === "flag" ? undefined : (option.value ?? option.type.toUpperCase());

/** The name as users may type it: with "-" or with "_". */
export const bothNames = (name: string) => [...new Set([name, name.replaceAll("_", "-")])];

/** `text` in single quotes for bash and zsh. */
export const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
