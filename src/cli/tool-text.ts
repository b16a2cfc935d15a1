// What users read about a tool: its name, options, examples, keys, files and variables. Help, manual pages and docs/options.md
// use these rows.
import { inGroup } from "./groups.ts";
import { logLevels } from "./log.ts";
import type { Operands, Options } from "./options.ts";

/** A line that can be typed, and what it does. */
export interface Example {
  readonly does: string;
  /** In the rows of a tool it begins with the tool's name, without "framepass". */
  readonly line: string;
}

/** A word that users meet, a key, a file or a variable of the environment, and its meaning. */
export interface Explained {
  readonly word: string;
  readonly meaning: string;
}

export interface ToolText {
  /** As users call it: "receiver_sdl". */
  readonly name: string;
  readonly summary: string;
  /** A subcommand without a link: users type "framepass NAME". */
  readonly unlinked?: true;
  readonly options: Options;
  /** Words without a dash, in order. Without these rows such words are refused. */
  readonly operands?: Operands;
  /** Two or more. After a wrong command line of a tool with operands the first one is printed. */
  readonly examples: readonly Example[];
  readonly keys?: readonly Explained[];
  readonly files?: readonly Explained[];
  /** Variables that this tool reads, besides those of all tools. */
  readonly environment?: readonly Explained[];
}

/** What users read about framepass as a whole. */
export interface About {
  readonly summary: string;
  /** Complete command lines for a first try, and where to type them. */
  readonly firstSteps: { readonly where: string; readonly examples: readonly Example[] };
}

/** Options every tool has. */
export const common = inGroup("general", {
  "log-level": {
    type: "choice",
    choices: logLevels,
    default: "info",
    help: "how much is logged on stderr",
  },
  help: { short: "h", type: "flag", help: "show this text" },
  version: { short: "V", type: "flag", help: "show version, commit and target" },
});

/** Variables every tool reads. */
const commonEnvironment: readonly Explained[] = [
  { word: "TERM", meaning: "with dumb no line on the terminal is redrawn or coloured" },
  { word: "NO_COLOR", meaning: "if set and not empty, --help is not coloured" },
];

/** All options of a tool: its own and those that every tool has. */
export const optionsOf = (tool: Pick<ToolText, "options">): Options => ({
  ...tool.options,
  ...common,
});

/** All variables that a tool reads. */
export const environmentOf = ({ environment = [] }: ToolText): readonly Explained[] => [
  ...environment,
  ...commonEnvironment,
];

/** What users type to call the tool. */
export const calledAs = ({ name, unlinked }: Pick<ToolText, "name" | "unlinked">) =>
  unlinked === true ? `framepass ${name}` : name;

/** The line of an example for users who call the tool `called`: "framepass sender". */
export const exampleLine = ({ name }: Pick<ToolText, "name">, { line }: Example, called: string) =>
  `${called}${line.slice(name.length)}`;
