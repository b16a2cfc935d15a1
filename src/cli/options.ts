// Command line options as rows. Parsing, range checks, help, manual pages, completions and tests use the rows.
import type { Group } from "./groups.ts";

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

/** The options that have to be given, which a synopsis shows. */
export const requiredOptions = (options: Options): [name: string, option: Option][] =>
  Object.entries(options).filter(([, option]) => "required" in option);

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

/** The units of sizes, in bytes. */
export const sizeUnits: Readonly<Record<string, number>> = {
  "": 1,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
};

/** Bytes with the largest unit that gives a whole number: "128M". */
export function sizeText(bytes: number): string {
  const unit = ["G", "M", "K"].find((name) => bytes % (sizeUnits[name] ?? 1) === 0);
  return unit === undefined || bytes === 0
    ? `${bytes}`
    : `${bytes / (sizeUnits[unit] ?? 1)}${unit}`;
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
