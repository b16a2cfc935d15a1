// Completion for bash. It needs no package: bash's own `complete` and `compopt` only.
import type { Completion } from "../../cli/options.ts";
import { type CompletedTool, quoted, valuedSpellings } from "./model.ts";

const words = (list: readonly string[]) => list.map(quoted).join(" ");
const folded = (name: string) => name.replaceAll("-", "_");

/** Only the word after the last comma is completed, with one that is not in the list yet. */
const LAST_OF_LIST = `given=,\${value%"\${value##*,}"} value=\${value##*,}`;

/** The commands that set what can follow. */
function candidates({ words: fixed = [], globs = [], files, commas }: Completion): string {
  return [
    `words=(${words(fixed)})`,
    ...(commas === undefined ? [] : [LAST_OF_LIST]),
    // By compgen, because a pattern without a match is an error where the user has set failglob.
    ...(globs.length === 0
      ? []
      : [`globs=($(${globs.map((glob) => `compgen -G ${quoted(glob)}`).join("; ")}))`]),
    ...(files === undefined ? [] : [`files=${files}`]),
  ].join(" ");
}

function casesOf({ name, options, operands }: CompletedTool): string[] {
  const tool = folded(name);
  const valued = options.filter(({ value }) => value !== undefined);
  const all = options.flatMap(({ spellings }) => spellings.slice(-1));
  return [
    ...valued.map(({ spellings, completion }) => {
      const pattern = spellings.map((spelling) => `${tool}:${spelling}`).join("|");
      return `    ${pattern}) ${candidates(completion)} ;;`;
    }),
    `    ${tool}:*)`,
    `      if [[ $cur == -* ]]; then words=(${words(all)}); else`,
    "        case $count in",
    ...operands.map(({ completion }, index) => `          ${index}) ${candidates(completion)} ;;`),
    `          *) [[ -n $cur ]] || words=(${words(all)}) ;;`,
    "        esac",
    "      fi ;;",
  ];
}

/** The case that lists the options of a tool with operands after which a value follows. */
const valuedCase = (tool: CompletedTool): string[] =>
  tool.operands.length === 0
    ? []
    : [`    ${folded(tool.name)}) valued=' ${valuedSpellings(tool).join(" ")} ' ;;`];

/** The script. */
export function bashCompletion(tools: readonly CompletedTool[]): string {
  const names = words(tools.map(({ name }) => name));
  const commands = ["framepass", ...tools.flatMap(({ name, linked }) => (linked ? [name] : []))];
  return `# Completion of framepass for bash, written by framepass install.
_framepass() {
  local line=\${COMP_LINE:0:COMP_POINT} tool=\${1##*/} cur= value= option= word= head= files= valued= last= given=
  local breaks=\${COMP_WORDBREAKS//[^:=]/} count=0
  local -a typed=() words=() globs=()
  local IFS=$' \\t\\n'
  line=\${line//\\\\[[:blank:]]/_} # a blank that is part of a file's name
  read -ra typed <<<"$line"
  if [[ $line != *[[:space:]] ]]; then
    cur=\${typed[\${#typed[@]}-1]}
    unset "typed[\${#typed[@]}-1]"
  fi
  typed=("\${typed[@]:1}")
  if [[ $tool == framepass ]]; then
    tool=\${typed[0]-}
    typed=("\${typed[@]:1}")
  fi
  value=$cur
  if [[ $cur == --*=* ]]; then
    option=\${cur%%=*} value=\${cur#*=}
  elif ((\${#typed[@]} > 0)); then
    option=\${typed[\${#typed[@]}-1]}
  fi
  case \${tool//-/_} in
${tools.flatMap(valuedCase).join("\n")}
  esac
  for word in "\${typed[@]}"; do
    [[ $word == -* || $valued == *" $last "* ]] || ((count += 1))
    last=$word
  done
  case \${tool//-/_}:$option in
    :*) words=(${names} help version) ;;
    help:) words=(${names}) ;;
${tools.flatMap(casesOf).join("\n")}
  esac
  # Readline replaces only what follows the last colon or equals sign.
  [[ -z $breaks ]] || head=\${cur%"\${cur##*["$breaks"]}"}
  COMPREPLY=()
  for word in "\${words[@]}" "\${globs[@]}"; do
    [[ $word == "$value"* && $given != *",$word,"* ]] || continue
    word=\${cur%"$value"}$word
    COMPREPLY+=("\${word#"$head"}")
  done
  if ((\${#COMPREPLY[@]} > 0)); then
    # Readline adds files only where nothing else fits.
    [[ $files == all ]] && while IFS= read -r word; do
      [[ ! -d $word ]] || word+=/
      printf -v word %q "$word"
      word=\${cur%"$value"}$word
      COMPREPLY+=("\${word#"$head"}")
    done < <(compgen -f -- "$value")
    return 0
  fi
  case $files in
    all) compopt -o default ;;
    folders) compopt -o dirnames ;;
  esac
}
complete -F _framepass ${commands.join(" ")}
`;
}
