import { expect, test } from "bun:test";
import { tools } from "../../cmd/tools.ts";
import { mainPage, manPage, pageName } from "../../src/cli/man.ts";
import { calledAs, optionsOf } from "../../src/cli/tool-text.ts";
import { exitCodes } from "../../src/errors.ts";

/** What a reader sees: macros and font changes gone. */
const shown = (page: string) =>
  page
    .replace(/\\f[BIR]/g, "")
    .replaceAll("\\-", "-")
    .split("\n");

for (const row of tools) {
  test(`the manual page of ${row.name} has every option with its help, and every exit status`, async () => {
    const tool = await row.load();
    const lines = shown(manPage(tool, calledAs(tool)));
    expect(tool).toMatchObject({ name: row.name, summary: row.summary });
    expect(lines).toContain(`${pageName(calledAs(tool))} - ${tool.summary}`);
    for (const [name, { short, help }] of Object.entries(optionsOf(tool))) {
      const head = `${short === undefined ? "" : `-${short}, `}--${name}`;
      const at = lines.findIndex((line) => line === head || line.startsWith(`${head} `));
      expect(lines[at - 1]).toBe(".TP");
      expect(lines[at + 1]).toStartWith(help);
    }
    for (const title of ["EXAMPLES", "ENVIRONMENT", "EXIT STATUS"])
      expect(lines).toContain(`.SH ${title}`);
    for (const { line } of tool.examples) expect(lines.join("\n")).toContain(line);
    for (const { word } of [...(tool.keys ?? []), ...(tool.files ?? [])])
      expect(lines).toContain(word);
    const statuses = Object.values(exitCodes).map(({ status }) => `${status}`);
    expect(lines.filter((line) => /^\d+$/.test(line))).toEqual(statuses);
  });
}

test("text that troff would interpret is shown unchanged", () => {
  const page = manPage(
    {
      name: "x",
      summary: "a-b \\n",
      options: { dot: { type: "flag", help: ".SH is not a heading" } },
      examples: [{ does: "\\", line: "x" }],
    },
    "x",
  );
  expect(page).toContain("x \\- a\\-b \\en\n");
  expect(page).toContain("\n\\&.SH is not a heading");
});

test("the page of framepass has every tool and the first steps", () => {
  const firstSteps = { where: "here", examples: [{ does: "shows it", line: "framepass -x" }] };
  const about = { summary: "moves video", firstSteps };
  const lines = shown(mainPage(about, [{ called: "framepass share", summary: "makes" }]));
  expect(lines).toContain("framepass - moves video");
  expect(lines).toContain(".BR framepass-share (1)");
  expect(lines).toContain("makes");
  const first = lines.indexOf("here:");
  expect(lines.slice(first).join(" ")).toContain("Shows it: .PP .RS 4 .nf framepass -x .fi");
});
