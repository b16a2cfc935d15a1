// Completion for fish: one file for framepass, and one for each link, because fish looks for a file of the command's name.
import type { Completion } from "../../cli/options.ts";
import { bothNames, type CompletedTool, valuedSpellings } from "./model.ts";

/** `text` in single quotes for fish. */
const quoted = (text: string) => `'${text.replace(/[\\']/g, "\\$&")}'`;

/** The options of `complete` with what can stand there. Patterns are expanded when the user asks; -F adds files. */
function suggested({ words = [], globs = [], files, commas }: Completion): string[] {
  if (commas) return ["-f", "-a", quoted(`(__framepass_list ${words.join(" ")})`)];
  const existing = globs.map((glob) => `(set -l found ${glob}; string join \\n $found)`);
  const folders = files === "folders" ? ["(__fish_complete_directories)"] : [];
  const all = [...words, ...existing, ...folders];
  return [
    files === "all" && words.length === 0 ? "-F" : "-f",
    ...(all.length > 0 ? ["-a", quoted(all.join(" "))] : []),
  ];
}

/** fish would add files after the colon of a word, "testsrc:" for example. */
const NO_COLON = "not string match -q -- '*:*' (commandline -ct)";

/** The lines for a tool. `typed` is the number of words before its first one; `when` is the condition that it was called. */
function linesOf(tool: CompletedTool, command: string, typed: number, when: string): string[] {
  const complete = (words: readonly string[], extra = "") => {
    const condition = [when, extra].filter((part) => part !== "").join("; and ");
    const on = condition === "" ? [] : ["-n", quoted(condition)];
    return ["complete", "-c", command, ...on, ...words].join(" ");
  };
  return [
    ...tool.options.flatMap(({ spellings, help, value, completion }) => {
      const names = spellings.map((name) =>
        name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name[1]}`,
      );
      const values = value === undefined ? [] : ["-r", ...suggested(completion)];
      const line = complete([...names, "-d", quoted(help), ...values]);
      if (completion.files !== "all" || completion.words === undefined) return [line];
      return [line, complete([...names, "-r", "-F"], NO_COLON)];
    }),
    ...tool.operands.map(({ value, completion }, index) =>
      complete(
        [...suggested(completion), "-d", quoted(value)],
        `test (__framepass_count ${valuedSpellings(tool).join(" ")}) -eq ${typed + index}`,
      ),
    ),
  ];
}

/** Prints how many words there are beside options and the values of those that it is called with. */
const COUNT = `function __framepass_count
    set -l count 0
    set -l last
    for word in (commandline -opc)
        if not string match -q -- '-*' $word; and not contains -- "$last" $argv
            set count (math $count + 1)
        end
        set last $word
    end
    echo $count
end`;

/** Prints the words that are not in the list yet, each after what is typed up to the last comma. */
const LIST = `function __framepass_list
    set -l typed (string replace -r -- '^--[^=]*=' '' (commandline -ct))
    set -l before (string match -r -- '.*,' $typed)
    for word in $argv
        if not contains -- $word (string split , -- "$before")
            echo "$before$word"
        end
    end
end`;

const file = (lines: readonly string[]) =>
  [
    "# Completion of framepass for fish, written by framepass install.",
    COUNT,
    LIST,
    ...lines,
    "",
  ].join("\n");

/** The file for the command framepass. */
export function fishCompletion(tools: readonly CompletedTool[]): string {
  const first = "test (count (commandline -opc)) -eq 1";
  const helped =
    "test (count (commandline -opc)) -eq 2; and contains -- (commandline -opc)[2] help";
  const offer = (when: string, word: string, text: string) =>
    `complete -c framepass -n ${quoted(when)} -a ${word} -d ${quoted(text)}`;
  return file([
    "complete -c framepass -f",
    ...tools.map(({ name, summary }) => offer(first, name, summary)),
    offer(first, "help", "show the options of a tool"),
    offer(first, "version", "show the version"),
    ...tools.map(({ name, summary }) => offer(helped, name, summary)),
    ...tools.flatMap((tool) => {
      const called = `contains -- (commandline -opc)[2] ${bothNames(tool.name).join(" ")}`;
      return linesOf(tool, "framepass", 2, called);
    }),
  ]);
}

/** The file for the link to a tool. */
export const fishLinkCompletion = (tool: CompletedTool): string =>
  file([`complete -c ${tool.name} -f`, ...linesOf(tool, tool.name, 1, "")]);
