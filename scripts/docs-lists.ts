// Tables of what lies in a folder of modules: the benches and the scenarios of the guest lab.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { table } from "./docs-table.ts";
import { projectDir } from "./ensure.ts";

interface Titled {
  readonly name: string;
  readonly title: string;
}

/** What the modules of `folder` export as `word`, in the order of their files. */
async function exported(folder: string, word: string): Promise<readonly Titled[]> {
  const files = readdirSync(join(projectDir, folder)).filter((file) => /^[a-z-]+\.ts$/.test(file));
  const modules = files
    .filter((file) => !file.endsWith("-side.ts")) // those run when they are imported
    .toSorted()
    .map((file) => import(join(projectDir, folder, file)) as Promise<Record<string, Titled>>);
  return (await Promise.all(modules)).flatMap((module) => module[word] ?? []);
}

/** A row for each name: benches of one name run together. */
export async function benchTable(): Promise<string> {
  const rows = Map.groupBy(await exported("test/bench", "bench"), ({ name }) => name);
  return table(
    ["bench", "what it measures"],
    [...rows].map(([name, benches]) => [
      `\`${name}\``,
      benches.map(({ title }) => title).join("; and "),
    ]),
  );
}

export async function scenarioTable(): Promise<string> {
  const rows = await exported("test/lab/scenarios", "scenario");
  return table(
    ["scenario", "what it shows"],
    rows.map(({ name, title }) => [`\`${name}\``, title]),
  );
}
