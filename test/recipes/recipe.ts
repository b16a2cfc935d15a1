// The recipes of docs/recipes.md as a person finds them: a heading, shell lines, files to write, Debian packages.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectDir } from "../../scripts/ensure.ts";

export const page = "docs/recipes.md";

export interface Recipe {
  readonly title: string;
  /** The lines of its blocks with `sh`, one command each. */
  readonly lines: readonly string[];
  /** Blocks with another word and a name: the name and the text. */
  readonly files: ReadonlyMap<string, string>;
  /** The names in its line "Packages:". */
  readonly packages: readonly string[];
}

/** All recipes of the page. */
export function recipes(text = readFileSync(join(projectDir, page), "utf8")): readonly Recipe[] {
  const [working = ""] = text.split(/^# What does not work$/m);
  return working
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const blocks = [...section.matchAll(/^```(\S+)(?: (\S+))?\n([\s\S]*?)^```$/gm)];
      const shell = blocks.filter(([, language]) => language === "sh");
      const files = blocks.filter(([, language, name]) => language !== "sh" && name !== undefined);
      const packages = /^Packages: (.*)$/m.exec(section)?.[1] ?? "";
      return {
        title: section.slice(0, section.indexOf("\n")),
        lines: shell.flatMap(([, , , block = ""]) => block.trimEnd().split("\n")),
        files: new Map(files.map(([, , name = "", block = ""]) => [name, block])),
        packages: [...packages.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name),
      };
    });
}

/** One recipe. Throws when the page has none of that title. */
export function recipe(title: string): Recipe {
  const found = recipes().find((each) => each.title === title);
  if (found === undefined) throw new Error(`${page} has no recipe "${title}"`);
  return found;
}

/**
 * A line with the test's own values for what the page calls placeholders: pairs of text and value. Throws when the line does not
 * have one of them, so that a changed page is noticed.
 */
export function filled(line: string, values: Readonly<Record<string, string>>): string {
  let result = line;
  for (const [text, value] of Object.entries(values)) {
    if (!line.includes(text)) throw new Error(`no "${text}" in the line: ${line}`);
    result = result.replaceAll(text, value);
  }
  return result;
}
