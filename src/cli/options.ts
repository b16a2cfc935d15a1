// Command line options as rows. Parsing, range checks, help, manual pages and tests use the rows.
import { parseArgs } from "node:util";
import { UsageError } from "../errors.ts";
import type { Group } from "./groups.ts";
import { didYouMean, nearest } from "./suggest.ts";

/** What shells complete a value with. */
export interface Completion {
  readonly words?: readonly string[];
  /** The value is a list of these words with commas between them, each once. */
  readonly commas?: true;
  /** Existing files of these patterns: "/dev/video*". */
  readonly globs?: readonly string[];
  readonly files?: "all" | "folders";
}

interface Common {
  /** One letter. Not h or v. */
  readonly short?: string;
  /** A short description for --help. */
  readonly help: string;
  /** Placeholder of the value in help texts: "PATH". */
  readonly value?: string;
  /** For values other than choices. Without it nothing is suggested. */
  readonly completes?: Completion;
  /** Where help lists it. */
  readonly group?: Group;
}

export type Option = Common &
  (
    | {
        readonly type: "text";
        /** What the value must match, and the same in words for the error. */
        readonly pattern?: readonly [RegExp, string];
        /** The right value for one that other programs use instead. It is named, and the given one is refused. */
        readonly instead?: (text: string) => string | undefined;
        readonly default?: string;
        readonly required?: true;
      }
    | {
        readonly type: "integer" | "number";
        readonly min: number;
        readonly max: number;
        readonly default?: number;
        readonly required?: true;
      }
    | {
        /** Bytes: a number, or a number with K, M or G (powers of 1024). */
        readonly type: "size";
        readonly min: number;
        readonly max: number;
        readonly default?: number;
        readonly required?: true;
      }
    | { readonly type: "choice"; readonly choices: readonly string[]; readonly default: string }
    | {
        readonly type: "flag";
        /** The tool only does this and ends: options that are required otherwise may be missing. */
        readonly alone?: true;
      }
    | { readonly type: "list"; readonly required?: true }
  );

export type Options = Readonly<Record<string, Option>>;

/** Words without a dash, in order. One that is not required stands after those that are. */
export type Operand = Pick<Common, "help" | "value" | "completes"> &
  (
    | { readonly type: "text"; readonly required?: true }
    | {
        readonly type: "choice";
        readonly choices: readonly string[];
        readonly required: true;
      }
  );
export type Operands = Readonly<Record<string, Operand>>;

type Value<O extends Option> = O extends { type: "flag" }
  ? boolean
  : O extends { type: "list" }
    ? string[]
    : O extends { type: "choice"; choices: readonly (infer C)[] }
      ? C
      :
          | (O extends { type: "text" } ? string : number)
          | (O extends { default: unknown } | { required: true } ? never : undefined);

/** The values of the options by long name. `given` has the options that the command line names. */
export type Values<O extends Options> = { readonly [K in keyof O]: Value<O[K]> } & {
  readonly given: ReadonlySet<keyof O>;
};

/** Placeholder of an option's value in texts: "PATH". */
export const valueText = (option: Option) => option.value ?? option.type.toUpperCase();

/** How an operand is spelled in texts: "FILE", or "[FILE]" where it may be left out. */
export function operandText(name: string, { value, required }: Operand): string {
  const shown = value ?? name;
  return required === true ? shown : `[${shown}]`;
}

/** What shells complete the value with; undefined where nothing can be suggested. */
export const completionOf = (row: Option | Operand): Completion | undefined =>
  row.type === "choice" ? { words: row.choices } : row.completes;

/** How an option is spelled in texts: "-W, --width". */
export const spelled = (name: string, option: Common) =>
  option.short === undefined ? `--${name}` : `-${option.short}, --${name}`;

/**
 * Parses `argv`: options by `options`, other words by `operands`. Throws UsageError for a word in neither table, a value out
 * of range or a missing one.
 */
export function parseOptions<
  const O extends Options,
  const P extends Operands = Record<never, never>,
>(options: O, argv: readonly string[], operands?: P): Values<O & P> {
  const { raw, words } = readWords(options, argv);
  const values: Record<string, unknown> = readOperands(operands ?? {}, words);
  const rows = Object.entries(options);
  const alone = rows.some(([name, option]) => "alone" in option && raw[name] === true);
  for (const [name, option] of rows) {
    const given = raw[name];
    if (given === undefined && "required" in option && !alone) {
      throw new UsageError(`${spelled(name, option)} is required${rangeText(option)}`);
    }
    values[name] = convert(name, option, given);
  }
  const given = new Set(Object.keys(raw));
  return { ...values, given } as unknown as Values<O & P>;
}

function readOperands(operands: Operands, words: readonly string[]): Record<string, unknown> {
  const rows = Object.entries(operands);
  const surplus = words[rows.length];
  if (surplus !== undefined) throw new UsageError(`unexpected word "${surplus}"`);
  const values: Record<string, unknown> = {};
  for (const [i, [name, operand]] of rows.entries()) {
    const word = words[i];
    const shown = operand.value ?? name;
    if (word === undefined && operand.required !== true) continue;
    if (word === undefined) throw new UsageError(`${shown} is missing${rangeText(operand)}`);
    if (operand.type === "choice" && !operand.choices.includes(word)) {
      throw notAChoice(shown, operand.choices, word);
    }
    values[name] = word;
  }
  return values;
}

type Raw = Readonly<Record<string, string | true | readonly string[]>>;

function readWords(
  options: Options,
  argv: readonly string[],
): { readonly raw: Raw; readonly words: readonly string[] } {
  const table = Object.fromEntries(
    Object.entries(options).map(([name, { type, short }]) => [
      name,
      {
        type: type === "flag" ? ("boolean" as const) : ("string" as const),
        multiple: type === "list",
        ...(short !== undefined && { short }),
      },
    ]),
  );
  const { tokens } = parseArgs({
    args: [...argv],
    options: table,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const raw: Record<string, string | true | string[]> = {};
  const words: string[] = [];
  for (const token of tokens) {
    if (token.kind === "option-terminator") continue;
    if (token.kind === "positional") {
      words.push(token.value);
      continue;
    }
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined;
    if (option === undefined) throw unknownOption(token.rawName, options);
    const value = checkValue(token.name, option, token);
    if (option.type !== "list") raw[token.name] = value;
    else raw[token.name] = [...((raw[token.name] as string[] | undefined) ?? []), String(value)];
  }
  return { raw, words };
}

function unknownOption(rawName: string, options: Options): UsageError {
  const isLong = rawName.startsWith("--");
  const names = Object.entries(options).flatMap(([name, { short }]) =>
    isLong ? [`--${name}`] : short === undefined ? [] : [`-${short}`],
  );
  return new UsageError(`unknown option "${rawName}"${didYouMean(nearest(rawName, names))}`);
}

function notAChoice(shown: string, choices: readonly string[], got: string): UsageError {
  const meant = didYouMean(nearest(got, choices));
  return new UsageError(`${shown} must be ${choices.join(", ")}, got "${got}"${meant}`);
}

/** The value given to an option; true for a flag. A following option is not a value, but "-1" and "-" are. */
function checkValue(
  name: string,
  option: Option,
  { value, inlineValue }: { value: string | undefined; inlineValue: boolean | undefined },
): string | true {
  if (option.type === "flag") {
    if (value === undefined) return true;
    throw new UsageError(`${spelled(name, option)} takes no value, got "${value}"`);
  }
  const isOption = inlineValue !== true && value !== undefined && /^-[^\d]/.test(value);
  if (value !== undefined && value !== "" && !isOption) return value;
  throw new UsageError(`${spelled(name, option)} needs a value${rangeText(option)}`);
}

function convert(name: string, option: Option, given: Raw[string] | undefined): unknown {
  if (option.type === "flag") return given === true;
  if (option.type === "list") return given ?? [];
  if (given === undefined) return option.default;
  const text = String(given);
  if (option.type === "text") {
    const [pattern, words] = option.pattern ?? [/^/, ""];
    const instead = option.instead?.(text);
    if (!pattern.test(text))
      throw new UsageError(`--${name} must be ${words}, got "${text}"${didYouMean(instead)}`);
    if (instead === undefined) return text;
    throw new UsageError(`--${name}: there is no "${text}"${didYouMean(instead)}`);
  }
  if (option.type === "choice") {
    if (option.choices.includes(text)) return text;
    throw notAChoice(`--${name}`, option.choices, text);
  }
  if (option.type === "size") return convertSize(name, option, text);
  const pattern = option.type === "integer" ? /^-?\d+$/ : /^\d+(\.\d+)?$/;
  const number = Number(text);
  if (pattern.test(text) && number >= option.min && number <= option.max) return number;
  throw new UsageError(`--${name} must be ${option.min} to ${option.max}, got "${text}"`);
}

const units: Record<string, number> = { "": 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/** Bytes with the largest unit that gives a whole number: "128M". */
export function sizeText(bytes: number): string {
  const unit = ["G", "M", "K"].find((name) => bytes % (units[name] ?? 1) === 0);
  return unit === undefined || bytes === 0 ? `${bytes}` : `${bytes / (units[unit] ?? 1)}${unit}`;
}

function convertSize(name: string, option: { min: number; max: number }, text: string): number {
  const [, digits, unit = ""] = /^(\d+)([KMG]?)$/.exec(text) ?? [];
  const bytes = Number(digits) * (units[unit] ?? 1);
  if (bytes >= option.min && bytes <= option.max) return bytes;
  const range = `${sizeText(option.min)} to ${sizeText(option.max)}`;
  throw new UsageError(`--${name} must be ${range}, got "${text}"`);
}

/** The default as text; empty without a default. */
export function defaultText(option: Option | Operand): string {
  if (!("default" in option) || option.default === undefined) return "";
  return option.type === "size" ? sizeText(option.default) : String(option.default);
}

/** The allowed range as text, for errors and help. */
export function rangeText(option: Option | Operand): string {
  if (option.type === "size") return ` (${sizeText(option.min)} to ${sizeText(option.max)})`;
  if (option.type === "integer" || option.type === "number") {
    return option.max === Number.MAX_SAFE_INTEGER
      ? ` (from ${option.min})`
      : ` (${option.min} to ${option.max})`;
  }
  return option.type === "choice" ? ` (${option.choices.join(", ")})` : "";
}
