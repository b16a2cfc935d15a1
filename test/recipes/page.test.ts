// docs/recipes.md: every recipe is complete, and a test runs it.
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { projectDir } from "../../scripts/ensure.ts";
import { recipeNeeds } from "../../scripts/recipe-needs.ts";
import { obsPackages } from "../lab/recipes/obs.ts";
import { filled, recipe, recipes } from "./recipe.ts";

const sourcesIn = (dir: string) =>
  readdirSync(join(projectDir, dir))
    .filter((name) => name.endsWith(".ts") && name !== "page.test.ts")
    .map((name) => readFileSync(join(projectDir, dir, name), "utf8"));

test("every recipe has lines and packages, and a test or the lab names it", () => {
  const sources = ["test/recipes", "test/lab/recipes", "test/lab/scenarios"]
    .flatMap(sourcesIn)
    .join("\n");
  for (const { title, lines, packages } of recipes()) {
    expect(lines.length, title).toBeGreaterThan(0);
    if (title !== "The sender") expect(packages.length, title).toBeGreaterThan(0);
    expect(sources.includes(`"${title}"`), `a test of "${title}"`).toBe(true);
  }
  expect(recipes().length).toBeGreaterThan(10);
});

test("a package that a recipe names is installed by the tests, or is in the lab's guest", () => {
  const unpacked = ["nginx", "libnginx-mod-rtmp"];
  const inTheGuest = [...obsPackages, "v4l2loopback-dkms"];
  const known = [...recipeNeeds.map((need) => need.package), ...unpacked, ...inTheGuest];
  const named = recipes().flatMap(({ packages }) => packages);
  expect(named.filter((name) => !known.includes(name))).toEqual([]);
});

test("a recipe that is not there, and a line without a placeholder, are refused", () => {
  expect(() => recipe("Soup")).toThrow('docs/recipes.md has no recipe "Soup"');
  expect(() => filled("receiver -p 5000", { "10.0.0.2": "::1" })).toThrow('no "10.0.0.2"');
});
