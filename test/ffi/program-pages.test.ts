// Pages of files that are given back: fewer are resident, and nothing that differs from a file is lost.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dropProgramPages, unchangedMappings } from "../../ffi/program-pages.ts";

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

/** A mapping of smaps, with the fields around those that count. */
const mapping = (first: string, anonymous: number, swap: number) =>
  [
    first,
    "Size:                 16 kB",
    "Rss:                   8 kB",
    `Anonymous:            ${anonymous} kB`,
    "Private_Hugetlb:       0 kB",
    `Swap:                  ${swap} kB`,
    "VmFlags: rd mr mw me ac",
    "",
  ].join("\n");

test("a mapping with pages that were changed and are in the swap space is not given back", () => {
  const smaps = [
    mapping("7f0000000000-7f0000004000 r--p 00000000 fe:00 12  /lib/libc.so.6", 0, 0),
    mapping("7f0000004000-7f0000008000 r--p 00004000 fe:00 12  /lib/libc.so.6", 0, 8),
    mapping("7f0000008000-7f000000c000 r--p 00008000 fe:00 12  /lib/libc.so.6", 8, 0),
    mapping("7f000000c000-7f0000010000 rw-p 0000c000 fe:00 12  /lib/libc.so.6", 0, 0),
    mapping("7f0000010000-7f0000014000 r--s 00000000 fe:00 13  /tmp/shared", 0, 0),
    mapping("7f0000014000-7f0000018000 r--p 00000000 00:00 0", 0, 0),
    mapping("7f0000018000-7f000001c000 r-xp 00010000 fe:00 12  /lib/libc.so.6", 0, 0),
  ].join("");
  expect(unchangedMappings(smaps)).toEqual([
    [0x7f0000000000, 0x4000],
    [0x7f0000018000, 0x4000],
  ]);
});
