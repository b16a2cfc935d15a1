// Parses the words of a command line by the rows of a tool.
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { UsageError } from "../errors.ts";
import {
  completionOf,
  type Operands,
  type Option,
  type Options,
  rangeText,
  sizeText,
  sizeUnits,
  spelled,
  type Values,
} from "./options.ts";
import { shellWord } from "./shell.ts";
import { nearest, probablyMeant } from "./suggest.ts";

/**
 * Parses `argv`: options by `options`, other words by `operands`. Throws UsageError for a word in neither table, a value out
 * of range or a missing one.
 */
export function parseOptions<
  const O extends Options,
  const P extends Operands = Record<never, never>,
>(options: O, argv: readonly string[], operands?: P): Values<O & P> {
  const { raw, words } = readWords(options, argv);
  const values: Record<string, unknown> = readOperands(operands ?? {}, words, options);
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

function readOperands(
  operands: Operands,
  words: readonly string[],
  options: Options,
): Record<string, unknown> {
  const rows = Object.entries(operands);
  const surplus = words[rows.length];
  if (surplus !== undefined)
    throw new UsageError(
      `unexpected word "${surplus}"${probablyMeant(withOption(surplus, options))}`,
    );
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

/** A word with the option whose value it may be, by what shells would complete for it. */
function withOption(word: string, options: Options): string | undefined {
  const found = Object.entries(options).find(([, option]) => {
    const { words = [], globs = [], files } = completionOf(option) ?? {};
    if (words.includes(word)) return true;
    if (globs.some((glob) => new Bun.Glob(glob).match(word))) return true;
    return files !== undefined && (word.includes("/") || existsSync(word));
  });
  return found && `--${found[0]} ${shellWord(word)}`;
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
  const meant = probablyMeant(nearest(rawName, names));
  return new UsageError(`unknown option "${rawName}"${meant}`, { unknownOption: rawName });
}

function notAChoice(shown: string, choices: readonly string[], got: string): UsageError {
  const meant = probablyMeant(nearest(got, choices));
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
      throw new UsageError(`--${name} must be ${words}, got "${text}"${probablyMeant(instead)}`);
    if (instead === undefined) return text;
    throw new UsageError(`--${name}: there is no "${text}"${probablyMeant(instead)}`);
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

function convertSize(name: string, option: { min: number; max: number }, text: string): number {
  const [, digits, unit = ""] = /^(\d+)([KMG]?)$/.exec(text) ?? [];
  const bytes = Number(digits) * (sizeUnits[unit] ?? 1);
  if (bytes >= option.min && bytes <= option.max) return bytes;
  const range = `${sizeText(option.min)} to ${sizeText(option.max)}`;
  throw new UsageError(`--${name} must be ${range}, got "${text}"`);
}
