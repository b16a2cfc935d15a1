// What --help and the manual pages say is checked against the parser and the terminal's width.
import { expect, test } from "bun:test";
import { findTool, tools } from "../../cmd/tools.ts";
import { entry, helpText } from "../../src/cli/help.ts";
import { parseOptions } from "../../src/cli/parse-options.ts";
import { optionsOf } from "../../src/cli/tool-text.ts";

/** The first command of a line as a shell splits it; quotes only around whole words. */
const wordsOf = (line: string) =>
  [...(line.split(" | ")[0] ?? "").matchAll(/"([^"]*)"|(\S+)/g)].map(
    ([, quoted, word]) => quoted ?? word ?? "",
  );

for (const row of tools) {
  test(`${row.name}: no line of --help is longer than 80 columns or ends with a blank`, async () => {
    const tool = await row.load();
    for (const called of [tool.name, `framepass ${tool.name}`]) {
      const lines = helpText(tool, { called, styled: false }).split("\n");
      expect(lines.filter((line) => line.length > 80)).toEqual([]);
      expect(lines.filter((line) => line.endsWith(" "))).toEqual([]);
      expect(lines).toContain("Examples:");
    }
  });

  test(`${row.name}: there are two examples, and the parser accepts each`, async () => {
    const tool = await row.load();
    expect(tool.examples.length).toBeGreaterThanOrEqual(2);
    for (const { line } of tool.examples) {
      const [name = "", ...argv] = wordsOf(line);
      expect(findTool(name)?.name).toBe(tool.name);
      parseOptions(optionsOf(tool), argv, tool.operands);
    }
  });
}

test("a word that must be given is shown as required, not with a default", async () => {
  const tool = await findTool("share")?.load();
  if (tool === undefined) throw new Error("there is a share");
  expect(helpText(tool, { called: "framepass share", styled: false })).toMatch(
    /\(create,\s+status\) \[required\]/,
  );
});

test("help is bold only where it is asked to be", async () => {
  const tool = await findTool("sender")?.load();
  if (tool === undefined) throw new Error("there is a sender");
  expect(helpText(tool, { called: "sender", styled: false })).not.toContain("\x1b");
  expect(helpText(tool, { called: "sender", styled: true })).toContain("\x1b[1mExamples:\x1b[22m");
});

test("a long name stands on a line of its own, and a long text is wrapped in its column", () => {
  expect(entry("short", "a b")).toEqual([`  ${"short".padEnd(24)}a b`]);
  const long = "x".repeat(30);
  expect(entry(long, "text")).toEqual([`  ${long}`, `${" ".repeat(26)}text`]);
  const words = "word ".repeat(20).trim();
  expect(entry("short", words).map((line) => line.length)).toEqual([80, 70]);
});
