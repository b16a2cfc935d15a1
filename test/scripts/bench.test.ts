// The command line of `bun run bench`, without a measurement.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Results, readResults, writeResults } from "../bench/results.ts";

const work = mkdtempSync(join(tmpdir(), "framepass-bench-test-"));
afterAll(() => rmSync(work, { recursive: true }));

function bench(...words: string[]) {
  const script = join(import.meta.dir, "../../scripts/bench.ts");
  const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, script, ...words]);
  return { status: exitCode, out: stdout.toString(), err: stderr.toString() };
}

const noResults = join(work, "no-results.json");
writeFileSync(noResults, "{}");
const ofZc = join(work, "zc.json");
writeResults(ofZc, {
  ...{ machine: "m", command: "c", date: "d", commit: "0" },
  figures: [{ bench: "zc", name: "n", unit: "s", value: 1, bar: null, met: null }],
});
const noCommit = join(work, "no-commit.json");
writeFileSync(noCommit, JSON.stringify({ machine: "m", date: "d", figures: [] }));
const noJson = join(work, "no.json");
writeFileSync(noJson, "bench");

test.each([
  [["--jsno"], 'bench: unknown option "--jsno"; you probably meant --json'],
  [["copi"], 'bench: no bench "copi"; you probably meant copy; there are '],
  [["copy", "figures"], 'bench: no part "figures" of copy; there is '],
  [["copy", "metrics", "more"], 'bench: unexpected word "more"'],
  [["copy", "--against"], "bench: --against needs a value"],
  [["copy", "--against", join(work, "none")], `bench: --against ${work}/none: it cannot be read`],
  [["copy", "--against", noJson], `bench: --against ${noJson}: it is no JSON`],
  [["copy", "--against", noResults], `bench: --against ${noResults}: no results of a bench`],
  [["copy", "--against", noCommit], `bench: --against ${noCommit}: no results of a bench`],
  [["copy", "--against", ofZc], `bench: --against ${ofZc}: no figure of copy is in it`],
])(
  "wrong words are answered before anything is measured, in one line with status 2: %p",
  (words, line) => {
    const { status, out, err } = bench(...words);
    expect({ status, out }).toEqual({ status: 2, out: "" });
    expect(err).toStartWith(line);
    expect(err).toEndWith("; see bun run bench --help\n");
    expect(err.trim().split("\n")).toHaveLength(1);
  },
);

test("--help names the benches, their parts, the options and where results are kept", () => {
  const { status, out } = bench("--help");
  expect(status).toBe(0);
  for (const word of ["copy metrics", "zc", "--against FILE", "--json", "bench/NAME.json"])
    expect(out).toContain(word);
});

test("results are read back as they were written", () => {
  const results: Results = {
    ...{ machine: "m", command: "c", date: "2026-11-28T00:00:00Z", commit: "0" },
    figures: [{ bench: "b", name: "n", unit: "s", value: null, bar: 1, met: false }],
  };
  const path = join(work, "new/folder/b.json");
  writeResults(path, results);
  expect(readResults(path)).toEqual(results);
});
