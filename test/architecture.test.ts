// The rules of ARCHITECTURE.md that a machine can check. Its table of areas is read, not repeated.
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const top = resolve(import.meta.dir, "..");
const layers = ["ffi", "src", "cmd"];

function sources(layer: string): string[] {
  const all = readdirSync(join(top, layer), { recursive: true, encoding: "utf8" });
  return all.filter((name) => name.endsWith(".ts")).map((name) => join(layer, name));
}

/** What a file imports: paths from the top directory, or package names. */
function importsOf(path: string, text: string): string[] {
  const found = [...text.matchAll(/(?:from|import\(|import) ?"([^"]+)"/g)];
  return found.map(([, name = ""]) =>
    name.startsWith(".") ? relative(top, join(top, dirname(path), name)) : name,
  );
}

const files = layers.flatMap(sources).map((path) => ({
  path,
  imports: importsOf(path, readFileSync(join(top, path), "utf8")),
}));

/** The area of a path: the folder or file directly in src; undefined outside src. */
function areaOf(path: string): string | undefined {
  const [layer, area] = path.split("/");
  return layer === "src" ? area : undefined;
}

const floor = ["errors.ts", "loop.ts", "cli", "format", "frame"];

/** The rows of the marked table, in its order: the area, and what it may import besides itself. */
function tableOf(document: string): ReadonlyMap<string, readonly string[]> {
  const block = /<!-- areas of src -->\n(.*?)\n<!-- end of areas -->/s.exec(document)?.[1] ?? "";
  const rows = block.split("\n").filter((line) => line.startsWith("| `"));
  const cells = rows.map((line) => line.split("|").map((cell) => cell.trim()));
  return new Map(
    cells.map(([, area = "", allowed = ""]) => {
      const named = [...allowed.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);
      const all = allowed.includes("the floor") ? [...floor, ...named] : named;
      return [area.replaceAll("`", ""), all];
    }),
  );
}

const areas = tableOf(readFileSync(join(top, "ARCHITECTURE.md"), "utf8"));

/** The areas that the files of one really import, except itself. */
function importedBy(area: string): Set<string> {
  const own = files.filter(({ path }) => areaOf(path) === area);
  const found = own.flatMap(({ imports }) => imports.flatMap((name) => areaOf(name) ?? []));
  return new Set(found.filter((name) => name !== area));
}

test("there are sources to look at in every layer", () => {
  for (const layer of layers) expect(sources(layer).length).toBeGreaterThan(1);
});

test.each(files)("$path imports only from its own layer and those below", ({ path, imports }) => {
  const own = layers.indexOf(path.split("/")[0] ?? "");
  for (const name of imports) {
    const layer = layers.indexOf(name.split("/")[0] ?? "");
    expect(layer, `${path} imports ${name}`).toBeLessThanOrEqual(own);
  }
});

test("bun:ffi is imported in ffi/ and nowhere else", () => {
  const users = files.filter(({ imports }) => imports.includes("bun:ffi"));
  expect(users.map(({ path }) => path.split("/")[0])).toEqual(users.map(() => "ffi"));
  expect(users.length).toBeGreaterThan(0);
});

test("the tables of kernel headers stand on the table kits and on nothing else of ffi", () => {
  const headers = files.filter(({ path }) => path.startsWith("ffi/linux/"));
  const kits = new Set(headers.flatMap(({ imports }) => imports));
  expect([...kits].sort()).toEqual(["ffi/ioctl.ts", "ffi/struct.ts"]);
});

test("npm packages are imported where their decision says, and nowhere else", () => {
  const users = files.flatMap(({ path, imports }) =>
    imports
      .filter((name) => !/^(?:ffi|src|cmd|bun|node|package\.json)\b/.test(name))
      .map((name) => `${areaOf(path)} ${name}`),
  );
  expect([...new Set(users)].sort()).toEqual(["cli citty", "cli consola/core", "format fast-png"]);
});

test("the table of ARCHITECTURE.md has a row for every area of src, and no other", () => {
  const found = new Set(files.flatMap(({ path }) => areaOf(path) ?? []));
  expect([...areas.keys()].sort()).toEqual([...found].sort());
});

test("an area may import only areas above it in the table: no two stand on each other", () => {
  const above: string[] = [];
  for (const [area, allowed] of areas) {
    for (const other of allowed) expect(above, `${area} imports ${other}`).toContain(other);
    above.push(area);
  }
});

test.each([...areas.keys()])("src/%s imports only what its row in the table allows", (area) => {
  const allowed = areas.get(area) ?? [];
  const crossing = files
    .filter(({ path }) => areaOf(path) === area)
    .flatMap(({ path, imports }) => imports.map((name) => ({ path, name, other: areaOf(name) })))
    .filter(({ other }) => other !== undefined && other !== area && !allowed.includes(other))
    .map(({ path, name }) => `${path} imports ${name}`);
  expect(crossing).toEqual([]);
});

test("what a row allows besides the floor is used: the table shows how it is", () => {
  for (const [area, allowed] of areas) {
    const used = importedBy(area);
    const besides = allowed.filter((name) => !floor.includes(name) || floor.includes(area));
    for (const other of besides) expect([...used], `${area} imports`).toContain(other);
  }
});

/** The first circle of imports, as a path that ends where it began; empty without one. */
function firstCircle(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>();
  const walk = (path: readonly string[], name: string): string[] => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    if (done.has(name)) return [];
    done.add(name);
    for (const next of graph.get(name) ?? []) {
      const circle = walk([...path, name], next);
      if (circle.length > 0) return circle;
    }
    return [];
  };
  for (const name of graph.keys()) {
    const circle = walk([], name);
    if (circle.length > 0) return circle;
  }
  return [];
}

test("no two files import each other, nor do longer circles exist", () => {
  expect(firstCircle(new Map(files.map((file) => [file.path, file.imports])))).toEqual([]);
  const small = { a: ["b", "d"], b: ["c"], c: ["d", "b"], d: [] };
  expect(firstCircle(new Map(Object.entries(small)))).toEqual(["b", "c", "b"]);
});

test("dependencies and Bun are pinned to exact versions", async () => {
  const project = await Bun.file(join(top, "package.json")).json();
  const versions = Object.values({ ...project.dependencies, ...project.devDependencies });
  for (const version of versions) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  expect(project.packageManager).toBe("bun@1.4.5");
});
