// The table of error classes, from the sources: every class that extends Error is in it, with the exit status it stands for.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { exitStatus, isExpected } from "../src/errors.ts";
import { table } from "./docs-table.ts";
import { projectDir } from "./ensure.ts";

const declaration =
  /(?:\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\n)?export class (\w+) extends (\w*Error|Error)\b/g;

/** Classes that end inside the process: who catches them is their own area. */
const inside = "none: caught inside its area";

/** A class, where it is, what its docstring says first, and how a tool ends that lets it through. */
export async function errorClasses(): Promise<string> {
  const rows: string[][] = [];
  for (const layer of ["ffi", "src"]) {
    const names = readdirSync(join(projectDir, layer), { recursive: true, encoding: "utf8" });
    for (const name of names.filter((name) => name.endsWith(".ts")).toSorted()) {
      const path = join(layer, name);
      const text = readFileSync(join(projectDir, path), "utf8");
      for (const [, docs = "", word = ""] of text.matchAll(declaration)) {
        if (docs === "") throw new Error(`${path}: class ${word} has no docstring`);
        const module = (await import(join(projectDir, path))) as Record<
          string,
          { prototype: object }
        >;
        const sample = Object.create(module[word]?.prototype ?? {});
        const status = isExpected(sample) ? `${exitStatus(sample)}` : inside;
        rows.push([`\`${word}\``, path, firstSentence(docs), status]);
      }
    }
  }
  return table(["class", "file", "what it means", "exit status"], rows);
}

/** The first sentence of a docstring, on one line. */
function firstSentence(docs: string): string {
  const text = docs
    .replaceAll(/\s*\n\s*\* ?/g, " ")
    .replaceAll("*", "")
    .trim();
  const [, sentence = text] = /^([\s\S]*?\.)(?:\s|$)/.exec(text) ?? [];
  return sentence.replace(/\.$/, "");
}
