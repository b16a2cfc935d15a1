// The pages say what the code says: tables are generated, links lead somewhere, QEMU lines name a processor.
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { pages, regenerate, stalePages } from "../scripts/docs.ts";
import { parts } from "../scripts/docs-parts.ts";

const top = resolve(import.meta.dir, "..");
const read = (path: string) => readFileSync(join(top, path), "utf8");

test("the generated parts of all pages are up to date; otherwise run `bun run docs`", async () => {
  expect((await stalePages(parts)).map(({ path }) => path)).toEqual([]);
});

test("every part that can be generated is on a page", () => {
  const all = pages().map(read).join("\n");
  for (const name of Object.keys(parts)) expect(all).toContain(`<!-- generated: ${name} -->`);
});

test("a part that is out of date is replaced, and the text around it stays", async () => {
  const page = "before\n<!-- generated: x -->\nold\n<!-- end -->\nafter\n";
  const fresh = await regenerate(page, { x: () => "new" });
  expect(fresh).toBe("before\n<!-- generated: x -->\n\nnew\n\n<!-- end -->\nafter\n");
  expect(await regenerate(fresh, { x: () => "new" })).toBe(fresh);
});

test.each([
  ["a name that no row has", "<!-- generated: y -->\n<!-- end -->\n", 'no generated part "y"'],
  ["a part without an end", "<!-- generated: x -->\nold\n", "has no <!-- end -->"],
  [
    "a part that begins before the last one ended",
    "<!-- generated: x -->\n<!-- generated: x -->\n<!-- end -->\n",
    "has no <!-- end -->",
  ],
])("%s is refused", async (_, page, reason) => {
  let message = "";
  await regenerate(page, { x: () => "new" }).catch((error: Error) => {
    message = error.message;
  });
  expect(message).toContain(reason);
});

test.each(pages())("%s: every file that a link names is there", (page) => {
  for (const [, target = ""] of read(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
    if (/^[a-z]+:/.test(target)) continue;
    expect(existsSync(join(top, dirname(page), target)), `${page} links to ${target}`).toBe(true);
  }
});

/** The anchors that GitHub makes from the headings of a page: without punctuation, blanks as hyphens. */
const anchorsOf = (text: string): string[] =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replace(/\s/g, "-"),
  );

test.each(pages())("%s: every heading that a link names is there", (page) => {
  for (const [, file = "", anchor = ""] of read(page).matchAll(/\]\(([^)#:\s]*)#([^)\s]+)\)/g)) {
    const target = file === "" ? page : join(dirname(page), file);
    expect(anchorsOf(read(target)), `${page} links to ${target}#${anchor}`).toContain(anchor);
  }
});

test.each(pages())("%s: every QEMU command names a processor that Bun runs on", (page) => {
  const blocks = [...read(page).matchAll(/^```[a-z]*\n([\s\S]*?)^```/gm)];
  for (const [, block = ""] of blocks) {
    if (/qemu-system|-machine pc,nvdimm/.test(block)) expect(block).toMatch(/-cpu (host|max)/);
  }
});

test("the README has lines of at most 120 columns", () => {
  const long = read("README.md")
    .split("\n")
    .filter((line) => line.length > 120);
  expect(long).toEqual([]);
});

test("every source file that a page names is there", () => {
  const named = /`((?:src|ffi|cmd|scripts|test)\/[\w./-]+\.(?:ts|c|h|sh|json))`/g;
  const missing = pages().flatMap((page) =>
    [...read(page).matchAll(named)]
      .map(([, path = ""]) => path)
      .filter((path) => !/[A-Z]{4}/.test(path)) // cmd/NAME.ts stands for any tool
      .filter((path) => !existsSync(join(top, path))),
  );
  expect(missing).toEqual([]);
});

test("docs/encryption.md: the times after which a tunnel ends are those of its own lines", () => {
  const page = read("docs/encryption.md");
  const row = (tunnel: string) => page.split("\n").find((line) => line.startsWith(`| ${tunnel}`));
  const [idle = "", ...others] = [...page.matchAll(/^TIMEOUTidle = (\d+)$/gm)].map(([, s]) => s);
  expect(others).toEqual([idle]); // both ends have the same
  expect(row("stunnel")).toContain(`\`TIMEOUTidle\`, ${idle} s: `);
  expect(row("stunnel")).toContain(`paused for ${idle} s`);
  // ssh_config(5): ServerAliveCountMax is 3; after that many without an answer, the next interval ends the connection.
  expect(page).not.toContain("ServerAliveCountMax");
  const [, interval = ""] = /-o ServerAliveInterval=(\d+) /.exec(page) ?? [];
  expect(row("`ssh -L`")).toContain(`${interval} s, after the fourth: ${4 * Number(interval)} s;`);
});
