// `bun run docs`: rewrites the generated parts of the pages. `bun run docs --check` changes nothing and fails when one is out
// of date. A part stands between `<!-- generated: NAME -->` and `<!-- end -->`; its text comes from the rows of the code.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureNpm, projectDir } from "./ensure.ts";

/** Makes the text of each part, by name. */
export type Parts = Readonly<Record<string, () => string | Promise<string>>>;

const part =
  /(<!-- generated: ([a-z0-9 -]+) -->\n)([\s\S]*?)(<!-- end -->|(?=<!-- generated: )|$)/g;

/** `text` with every generated part made again. Throws for a name that has no row, and for a part without an end. */
export async function regenerate(text: string, parts: Parts): Promise<string> {
  let result = "";
  let from = 0;
  for (const match of text.matchAll(part)) {
    const [whole, head = "", name = "", , tail = ""] = match;
    const make = parts[name];
    if (make === undefined) throw new Error(`there is no generated part "${name}"`);
    if (tail === "") throw new Error(`the generated part "${name}" has no <!-- end -->`);
    result += `${text.slice(from, match.index)}${head}\n${(await make()).trim()}\n\n${tail}`;
    from = match.index + whole.length;
  }
  return result + text.slice(from);
}

/** The pages of the project, as paths from its top directory. */
export function pages(): string[] {
  const top = readdirSync(projectDir).filter((name) => name.endsWith(".md"));
  const docs = readdirSync(join(projectDir, "docs"), { recursive: true, encoding: "utf8" });
  return [...top, ...docs.filter((name) => name.endsWith(".md")).map((name) => join("docs", name))];
}

/** Pages whose generated parts are not what the code says, each with what it should be. */
export async function stalePages(parts: Parts): Promise<{ path: string; text: string }[]> {
  const stale: { path: string; text: string }[] = [];
  for (const path of pages()) {
    const before = readFileSync(join(projectDir, path), "utf8");
    const text = await regenerate(before, parts);
    if (text !== before) stale.push({ path, text });
  }
  return stale;
}

if (import.meta.main) {
  ensureNpm();
  const { parts } = await import("./docs-parts.ts");
  const stale = await stalePages(parts);
  const names = stale.map(({ path }) => path).join(", ");
  if (process.argv.includes("--check")) {
    console.log(stale.length === 0 ? "docs: up to date" : `docs: out of date: ${names}`);
    process.exitCode = stale.length === 0 ? 0 : 1;
  } else {
    for (const { path, text } of stale) writeFileSync(join(projectDir, path), text);
    console.log(stale.length === 0 ? "docs: up to date" : `docs: rewritten: ${names}`);
  }
}
