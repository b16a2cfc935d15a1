// Pages of files that are given back: fewer are resident, and nothing that differs from a file is lost.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dropProgramPages } from "../../ffi/program-pages.ts";

/** KiB of a field of smaps, in the private mappings of files that may not be written. */
function kib(field: string): number {
  const mappings = readFileSync("/proc/self/smaps", "utf8").split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  return mappings
    .filter((mapping) => /^\S+ r-.p \S+ \S+ [1-9]/.test(mapping))
    .reduce((sum, mapping) => {
      return sum + Number(new RegExp(`^${field}: *(\\d+) kB`, "m").exec(mapping)?.[1]);
    }, 0);
}

test("pages of the program and its libraries are given back, without those that differ from the files", () => {
  const before = { resident: kib("Rss"), changed: kib("Anonymous") };
  expect(before.changed).toBeGreaterThan(0); // what the dynamic linker has written and then protected
  dropProgramPages();
  expect(kib("Rss")).toBeLessThan(before.resident * 0.8);
  expect(kib("Anonymous")).toBe(before.changed);
});

test("code that comes back from the file after its pages were given back runs as before", () => {
  for (let i = 0; i < 20; i++) {
    const sorted = Array.from({ length: 1000 }, (_, at) => (at * 7919) % 1000).sort(
      (a, b) => a - b,
    );
    dropProgramPages();
    Bun.gc(true);
    expect(sorted.at(-1)).toBe(999);
    expect(JSON.parse(JSON.stringify({ i }))).toEqual({ i });
  }
});
