// Completion for zsh, by its function _arguments.
import type { Completion } from "../../cli/options.ts";
import { bothNames, type CompletedTool, quoted } from "./model.ts";

/** Escapes what _arguments interprets in a description. */
const described = (text: string) => text.replace(/[\\[\]:]/g, "\\$&");

/** The action of a value for _arguments: a list, or a function with the files that exist at that time. */
function action({ words = [], globs = [], files, commas }: Completion): string {
  if (commas) return `{ _values -s , value ${words.join(" ")} }`;
  const find = files === "all" ? "_files" : files === "folders" ? "_files -/" : "";
  const fixed = words.map((word) => word.replace(/[\\:() ]/g, "\\$&")).join(" ");
  if (globs.length === 0) return words.length > 0 ? `(${fixed})` : find === "" ? " " : find;
  const existing = globs.map((glob) => `${glob}(N)`).join(" ");
  const added = `compadd -- ${[...words.map((word) => word.replaceAll(":", "\\:")), existing].join(" ")}`;
  return `{ ${find === "" ? added : `${added}; ${find}`} }`;
}

function specs({ options, operands }: CompletedTool): string[] {
  return [
    ...options.flatMap(({ spellings, help, value, repeats, completion }) =>
      spellings.map((spelling) => {
        const others = repeats ? "*" : `(${spellings.join(" ")})`;
        const text = `[${described(help)}]`;
        if (value === undefined) return `${others}${spelling}${text}`;
        const long = spelling.startsWith("--");
        const argument = `:${described(value)}:${action(completion)}`;
        return `${others}${spelling}${long ? "=" : "+"}${text}${argument}`;
      }),
    ),
    ...operands.map(
      ({ value, completion }, index) => `${index + 1}:${described(value)}:${action(completion)}`,
    ),
  ];
}

const caseOf = (tool: CompletedTool): string =>
  [
    `    ${bothNames(tool.name).join("|")})`,
    ["      _arguments -s -S", ...specs(tool).map((spec) => `        ${quoted(spec)}`)].join(
      " \\\n",
    ),
    "      ;;",
  ].join("\n");

/** The script. */
export function zshCompletion(tools: readonly CompletedTool[]): string {
  const commands = ["framepass", ...tools.flatMap(({ name, linked }) => (linked ? [name] : []))];
  const listed = tools.map(({ name, summary }) => `    ${quoted(`${name}:${described(summary)}`)}`);
  return `#compdef ${commands.join(" ")}
# Completion of framepass for zsh, written by framepass install.
_framepass() {
  local tool=\${words[1]:t} curcontext=$curcontext
  local -a tools=(
${listed.join("\n")}
  )
  if [[ $tool == framepass ]]; then
    if (( CURRENT == 2 )) || [[ $words[2] == help ]]; then
      (( CURRENT == 2 )) && tools+=('help:show the options of a tool' 'version:show the version')
      _describe -t commands tool tools
      return
    fi
    shift words
    (( CURRENT -= 1 ))
    tool=$words[1]
  fi
  case $tool in
${tools.map(caseOf).join("\n")}
  esac
}
_framepass "$@"
`;
}
