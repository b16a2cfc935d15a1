// The rules of ARCHITECTURE.md that a machine can check.
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const top = resolve(import.meta.dir, "..");
const layers = ["ffi", "src", "cmd"];

function sources(layer: string): string[] {
  const all = readdirSync(join(top, layer), { recursive: true, encoding: "utf8" });
  return all.filter((name) => name.endsWith(".ts")).map((name) => join(layer, name));
}

const files = layers.flatMap(sources).map((path) => ({
  path,
  text: readFileSync(join(top, path), "utf8"),
}));

/** What a file imports: paths from the top directory, or package names. */
function imports({ path, text }: { path: string; text: string }): string[] {
  const found = [...text.matchAll(/(?:from|import\() ?"([^"]+)"/g)].map(([, name = ""]) => name);
  return found.map((name) =>
    name.startsWith(".") ? relative(top, join(top, dirname(path), name)) : name,
  );
}

test("there are sources to look at in every layer", () => {
  for (const layer of layers) expect(sources(layer).length).toBeGreaterThan(1);
});

test.each(files)("$path imports only from its own layer and those below", (file) => {
  const own = layers.indexOf(file.path.split("/")[0] ?? "");
  for (const name of imports(file)) {
    const layer = layers.indexOf(name.split("/")[0] ?? "");
    expect(layer, `${file.path} imports ${name}`).toBeLessThanOrEqual(own);
  }
});

test("bun:ffi is imported in ffi/ and nowhere else", () => {
  const users = files.filter((file) => imports(file).includes("bun:ffi"));
  expect(users.map(({ path }) => path.split("/")[0])).toEqual(users.map(() => "ffi"));
  expect(users.length).toBeGreaterThan(0);
});

/** Areas of src that only cmd may join; what is not listed here is the floor that all may use. */
const apart: Record<string, readonly string[]> = {
  capture: ["wire", "display", "share", "vhost", "virtio", "video"],
  wire: ["capture", "display", "share", "vhost", "virtio", "video"],
  display: ["capture", "wire", "share", "vhost", "virtio", "video"],
  video: ["vhost", "wire", "display", "share"],
  virtio: ["vhost", "video", "wire", "display", "share", "capture"],
};

test("the areas of src do not import each other", () => {
  for (const file of files) {
    const [layer, area = ""] = file.path.split("/");
    if (layer !== "src") continue;
    for (const name of imports(file)) {
      const [, other = ""] = name.split("/");
      const crosses = name.startsWith("src/") && (apart[area] ?? []).includes(other);
      expect(crosses, `${file.path} imports ${name}`).toBe(false);
    }
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
  expect(firstCircle(new Map(files.map((file) => [file.path, imports(file)])))).toEqual([]);
  const small = { a: ["b", "d"], b: ["c"], c: ["d", "b"], d: [] };
  expect(firstCircle(new Map(Object.entries(small)))).toEqual(["b", "c", "b"]);
});

test("dependencies and Bun are pinned to exact versions", async () => {
  const project = await Bun.file(join(top, "package.json")).json();
  const versions = Object.values({ ...project.dependencies, ...project.devDependencies });
  for (const version of versions) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  expect(project.packageManager).toBe("bun@1.4.5");
});
