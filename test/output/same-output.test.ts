// Two names of one output are refused before anything is opened.
import { expect, test } from "bun:test";
import { linkSync, mkdirSync, type Stats, statSync, symlinkSync, writeFileSync } from "node:fs";
import { UsageError } from "../../src/errors.ts";
import { checkOutputsDiffer } from "../../src/output/same-output.ts";
import { TempDir } from "../support/tool.ts";

/** Nodes of video devices with these numbers; other paths as the kernel has them. */
const withVideo = (minors: Readonly<Record<string, number>>) => (path: string) => {
  const minor = minors[path];
  if (minor === undefined) return statSync(path, { throwIfNoEntry: false });
  return { isCharacterDevice: () => true, rdev: (81 << 8) | minor } as Stats;
};

test("a camera under two spellings is named with both", () => {
  const look = withVideo({ "/dev/video10": 10, "/dev/../dev/video10": 10, "/dev/video11": 11 });
  expect(() => checkOutputsDiffer(["/dev/video10", "/dev/../dev/video10"], false, look)).toThrow(
    new UsageError("--output /dev/video10 and --output /dev/../dev/video10 are the same"),
  );
  checkOutputsDiffer(["/dev/video10", "/dev/video11"], false, look);
});

test("a file is the same under another spelling, a link and a hard link, also before it exists", () => {
  using temp = new TempDir();
  const [file, link, hard] = ["file", "link", "hard"].map((name) => temp.file(name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(temp.file("folder"));
  const spelled = `${temp.path}/folder/../file`;
  const same = (...paths: string[]) =>
    expect(() => checkOutputsDiffer(paths, false)).toThrow("are the same");
  same(file, spelled);
  symlinkSync("file", link);
  symlinkSync("link", temp.file("folder/../second"));
  same(file, link);
  same(temp.file("second"), spelled);
  symlinkSync("loop", temp.file("loop"));
  checkOutputsDiffer([file, temp.file("loop")], false);
  writeFileSync(file, "");
  linkSync(file, hard);
  for (const other of [spelled, link, hard]) same(file, other);
  checkOutputsDiffer([file, temp.file("another"), "/dev/null"], false);
});

test("what may be written twice is not refused, and a path that is given twice is", () => {
  checkOutputsDiffer(["/dev/null", "/dev/../dev/null"], true);
  expect(() => checkOutputsDiffer(["a", "a"], false)).toThrow("--output a is given twice");
});

test("stdout is one output under all its names, and not for frames when records go there", () => {
  using temp = new TempDir();
  const file = temp.file("records");
  writeFileSync(file, "");
  const look = (path: string) => statSync(path === "-" ? file : path, { throwIfNoEntry: false });
  expect(() => checkOutputsDiffer(["-", file], false, look)).toThrow("are the same");
  expect(() => checkOutputsDiffer([file], true, look)).toThrow(
    `--json and --output ${file} both want stdout`,
  );
  expect(() => checkOutputsDiffer(["-"], true, look)).toThrow("both want stdout");
});
