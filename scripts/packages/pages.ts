// The pages of the project in a package: README.md and docs/ without the decisions. A link to a file that is not in the package
// becomes plain text.
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { projectDir } from "../ensure.ts";
import { filesBelow } from "./files.ts";

const LINK = /(!?)\[([^\]]*)\]\(([^)\s]*)\)/g;

/** The files of this project that a page links to, as they are written: "docs/copy.md". */
export const relativeLinks = (page: string): string[] =>
  [...page.matchAll(LINK)].map(([, , , to = ""]) => fileOf(to)).filter((file) => file !== "");

/** The page with the links for which `isThere` is false as plain text. */
export const withoutLinks = (page: string, isThere: (file: string) => boolean): string =>
  page.replace(LINK, (link: string, _image: string, label: string, to: string) => {
    const file = fileOf(to);
    return file === "" || isThere(file) ? link : label;
  });

/** The file of a link; "" for a place on the same page, and for another site. */
const fileOf = (to: string): string => (/^[a-z]+:/.test(to) ? "" : to.replace(/#.*$/, ""));

/** Copies the pages to `folder`. */
export function copyPages(folder: string): void {
  for (const name of ["README.md", "docs"]) {
    const filter = (path: string) => !path.endsWith("/decisions");
    cpSync(join(projectDir, name), join(folder, name), { recursive: true, filter });
  }
  for (const name of filesBelow(folder).filter((path) => path.endsWith(".md"))) {
    const page = join(folder, name);
    const isThere = (file: string) => existsSync(join(dirname(page), file));
    writeFileSync(page, withoutLinks(readFileSync(page, "utf8"), isThere));
  }
}
