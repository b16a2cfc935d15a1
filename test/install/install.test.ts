// Plans, manifests and staging on small trees. test/e2e/install.test.ts installs the executable.
import { expect, test } from "bun:test";
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { about } from "../../cmd/tool-rows.ts";
import { tools } from "../../cmd/tools.ts";
import { projectDir } from "../../scripts/ensure.ts";
import { install, planInstallation } from "../../src/install/install.ts";
import { backends, descriptor, type Entry, layout } from "../../src/install/layout.ts";
import { MANIFEST } from "../../src/install/manifest.ts";
import { Staging } from "../../src/install/staging.ts";
import { planRemoval, uninstall } from "../../src/install/uninstall.ts";
import { TempDir } from "../support/tool.ts";

const entries: readonly Entry[] = [
  { path: "share/a/page", kind: "text", text: "one" },
  { path: "share/b", kind: "text", text: "two" },
  { path: "bin/link", kind: "link", target: "../share/b" },
];

const installed = (prefix: string, of: readonly Entry[] = entries) => {
  const plan = planInstallation(prefix, of);
  install(plan);
  return plan.changes.map(({ path, action }) => `${action} ${path}`);
};

/** Everything under a folder, relative to it. */
const tree = (path: string) => readdirSync(path, { recursive: true, encoding: "utf8" }).sort();

const all = ["bin", "bin/link", "share", "share/a", "share/a/page", "share/b", "share/framepass"];

test("what is installed is there, and an uninstall leaves what was there before", () => {
  using temp = new TempDir();
  mkdirSync(temp.file("bin"));
  writeFileSync(temp.file("bin/other"), "");
  expect(installed(temp.path)).toEqual(entries.map(({ path }) => `write ${path}`));
  expect(tree(temp.path)).toEqual([...all, MANIFEST, "bin/other"].sort());
  expect(readFileSync(temp.file("share/a/page"), "utf8")).toBe("one");
  expect(readlinkSync(temp.file("bin/link"))).toBe("../share/b");
  uninstall(planRemoval(temp.path));
  expect(tree(temp.path)).toEqual(["bin", "bin/other"]);
});

test("files of a package get a mark instead of a manifest: they are neither installed over nor removed", () => {
  using temp = new TempDir();
  install(planInstallation(temp.path, entries, true));
  expect(tree(temp.path)).toEqual([...all, MANIFEST].sort());
  const refusal = `${temp.file(MANIFEST)}: what is here belongs to a package`;
  expect(() => installed(temp.path)).toThrow(refusal);
  expect(() => planRemoval(temp.path)).toThrow(refusal);
  // A packager may build into the same folder a second time.
  const again = planInstallation(temp.path, entries, true);
  expect(again.changes.map(({ action }) => action)).toEqual(entries.map(() => "keep"));
});

test("a prefix that install has made is removed with the rest", () => {
  using temp = new TempDir();
  const prefix = temp.file("with a blank");
  installed(prefix);
  uninstall(planRemoval(prefix));
  expect(tree(temp.path)).toEqual([]);
});

test("files and folders can be read by all users, whatever the umask is", () => {
  using temp = new TempDir();
  const before = process.umask(0o077);
  try {
    installed(temp.file("p"));
  } finally {
    process.umask(before);
  }
  const mode = (path: string) => lstatSync(temp.file(path)).mode & 0o777;
  expect([mode("p"), mode("p/share/a"), mode("p/share/b")]).toEqual([0o755, 0o755, 0o644]);
});

test("a second installation keeps what is right, renews its own, removes what is no longer part of it", () => {
  using temp = new TempDir();
  installed(temp.path);
  const next: Entry[] = [
    { path: "share/a/page", kind: "text", text: "one" },
    { path: "share/b", kind: "text", text: "changed" },
  ];
  expect(installed(temp.path, next)).toEqual([
    "keep share/a/page",
    "write share/b",
    "remove bin/link",
  ]);
  expect(readFileSync(temp.file("share/b"), "utf8")).toBe("changed");
  uninstall(planRemoval(temp.path));
  expect(tree(temp.path)).toEqual([]);
});

test("files with the right content that no manifest lists are taken over", () => {
  using temp = new TempDir();
  installed(temp.path);
  rmSync(temp.file(MANIFEST));
  expect(installed(temp.path)).toEqual(entries.map(({ path }) => `keep ${path}`));
  expect(existsSync(temp.file(MANIFEST))).toBe(true);
});

const upgrade: readonly Entry[] = [
  { path: "share/a/page", kind: "text", text: "one, changed" },
  { path: "share/b", kind: "text", text: "two, changed" },
  { path: "share/new/c", kind: "text", text: "three" },
];

/** A process that installs these, and kills itself before its nth change of the disk. False: it did not come so far. */
function isKilled(prefix: string, of: readonly Entry[], nth: number): boolean {
  const script = join(import.meta.dir, "killed-installation.ts");
  const words = [process.execPath, script, prefix, JSON.stringify(of), String(nth)];
  const { exitCode, signalCode } = Bun.spawnSync(words, { stdout: "ignore", stderr: "inherit" });
  if (signalCode !== "SIGKILL") expect(exitCode).toBe(0);
  return signalCode === "SIGKILL";
}

const later = upgrade.map((entry) => ({ ...entry, text: "of a later version" }) as Entry);

test.each([
  ["a first installation", false],
  ["an upgrade", true],
])(
  "%s that is killed at any moment can be continued by another version, and removed",
  (_, isUpgrade) => {
    let kills = 0;
    for (let nth = 1; ; nth++) {
      using temp = new TempDir();
      const [removed, continued] = [temp.file("removed"), temp.file("continued")];
      mkdirSync(removed);
      const prefix = join(removed, "p");
      if (isUpgrade) installed(prefix);
      if (!isKilled(prefix, upgrade, nth)) break;
      kills++;
      cpSync(removed, continued, { recursive: true, verbatimSymlinks: true });
      // Without a manifest nothing but a temporary folder is there, which the next installation removes.
      if (existsSync(join(prefix, MANIFEST))) uninstall(planRemoval(prefix));
      const left = tree(removed).filter((name) => !/^\.framepass-\d+-0(\/|$)/.test(name));
      expect({ nth, left }).toEqual({ nth, left: [] });
      const again = join(continued, "p");
      installed(again, later);
      const files = tree(again).filter((name) => lstatSync(join(again, name)).isFile());
      expect(files).toEqual([...later.map(({ path }) => path), MANIFEST].sort());
      uninstall(planRemoval(again));
      expect({ nth, left: tree(continued) }).toEqual({ nth, left: [] });
    }
    expect(kills).toBeGreaterThan(isUpgrade ? 8 : 6);
  },
);

test("a file that others may not read, or that anybody may write, gets its permissions again", () => {
  using temp = new TempDir();
  installed(temp.path);
  chmodSync(temp.file("share/a/page"), 0o600);
  chmodSync(temp.file("share/b"), 0o666);
  expect(installed(temp.path)).toEqual(["write share/a/page", "write share/b", "keep bin/link"]);
  for (const path of ["share/a/page", "share/b"])
    expect(lstatSync(temp.file(path)).mode & 0o7777).toBe(0o644);
});

test("temporary files of an installation that was killed are removed by the next one, those of a running one stay", () => {
  using temp = new TempDir();
  mkdirSync(temp.file("share"));
  const running = `.framepass-${process.ppid}-1`;
  // A container gives the same number to each process.
  const sameNumber = `.framepass-${process.pid}-0`;
  for (const name of [".framepass-999999999-0", sameNumber, running, ".framepass"])
    writeFileSync(temp.file(`share/${name}`), "");
  installed(temp.path);
  const left = readdirSync(temp.file("share")).filter((name) => name.startsWith("."));
  expect(left.sort()).toEqual([".framepass", running]);
});

test.each([
  ["a file", (path: string) => writeFileSync(path, "theirs"), "file"],
  ["a link", (path: string) => symlinkSync("/etc/hostname", path), "link"],
  ["a dangling link", (path: string) => symlinkSync("/nowhere", path), "link"],
  ["a folder", (path: string) => mkdirSync(path), "folder"],
])("%s in the way is not touched, and nothing is written", (_, make, kind) => {
  using temp = new TempDir();
  mkdirSync(temp.file("share"));
  make(temp.file("share/b"));
  expect(() => installed(temp.path)).toThrow(
    `${temp.file("share/b")}: framepass install did not write this ${kind}; move it away`,
  );
  expect(tree(temp.path)).toEqual(["share", "share/b"]);
});

test("a file that was changed after the installation is neither replaced nor removed", () => {
  using temp = new TempDir();
  installed(temp.path);
  writeFileSync(temp.file("share/b"), "mine");
  const refusal = `${temp.file("share/b")}: this file has changed since framepass install wrote it`;
  const other = entries.map((entry) => (entry.kind === "text" ? { ...entry, text: "new" } : entry));
  expect(() => installed(temp.path, other)).toThrow(refusal);
  expect(() => planRemoval(temp.path)).toThrow(refusal);
  expect(readFileSync(temp.file("share/a/page"), "utf8")).toBe("one");
  rmSync(temp.file("share/b")); // one that is missing is no obstacle
  uninstall(planRemoval(temp.path));
  expect(tree(temp.path)).toEqual([]);
});

test("when a move fails, what was moved before is removed again", () => {
  using temp = new TempDir();
  const prefix = temp.file("p");
  expect(() => {
    using staging = new Staging(prefix);
    for (const entry of entries) staging.add(entry);
    mkdirSync(join(prefix, "share/b")); // made by another program after the check
    staging.commit();
  }).toThrow("EISDIR");
  expect(tree(prefix)).toEqual(["share", "share/b"]);
});

test("when a write fails, no temporary file and no new folder is left", () => {
  using temp = new TempDir();
  symlinkSync("/nowhere", temp.file("bin"));
  expect(() => installed(temp.path)).toThrow("ENOENT");
  expect(tree(temp.path)).toEqual(["bin"]);
});

const sum = "0".repeat(64);

test.each([
  ["an absolute path", `${sum}  /etc/passwd\n`],
  ["a path that leads out", `${sum}  share/../../etc/passwd\n`],
  ["a path that leads up", "folder  ..\n"],
  ["another line", "nonsense\n"],
  ["no line", ""],
])("a manifest with %s is not followed", (_, text) => {
  using temp = new TempDir();
  mkdirSync(temp.file("share/framepass"), { recursive: true });
  writeFileSync(temp.file(MANIFEST), text);
  expect(() => planRemoval(temp.path)).toThrow(`${temp.file(MANIFEST)} is damaged`);
  expect(() => planInstallation(temp.path, entries)).toThrow("is damaged");
});

test("the layout has a page for every tool, completions, and links only where they are asked for", async () => {
  const texts = await Promise.all(tools.map((tool) => tool.load()));
  const paths = (links: boolean) =>
    layout(texts, { prefix: "/p", links, about }).map(({ path }) => path);
  for (const { name } of tools)
    expect(paths(false)).toContain(`share/man/man1/framepass-${name}.1`);
  expect(paths(false).filter((path) => path.startsWith("bin/"))).toEqual(["bin/framepass"]);
  for (const { name, unlinked } of tools) {
    expect(paths(true).includes(`bin/${name}`)).toBe(unlinked !== true);
    expect(paths(true).includes(`share/man/man1/${name}.1`)).toBe(unlinked !== true);
  }
  expect(new Set(paths(true)).size).toBe(paths(true).length);
  expect(paths(true).filter((path) => /\s/.test(path))).toEqual([]); // the manifest's lines have no quotes
});

test.each(backends.map(({ file }) => file))(
  "%s in docs is the descriptor that is installed, for another path",
  (file) => {
    const backend = backends.find((row) => row.file === file);
    const inDocs = JSON.parse(readFileSync(join(projectDir, "docs/vhost-user", file), "utf8"));
    expect(backend && JSON.parse(descriptor(backend, inDocs.binary))).toEqual(inDocs);
  },
);

test("a prefix in a home, or with characters that systemd refuses, has no units: they could not start an executable there", async () => {
  const paths = (prefix: string) =>
    layout([], { prefix, links: false, about })
      .map(({ path }) => path)
      .filter((path) => path.startsWith("lib/systemd/system/"));
  const unfit = [
    '/opt/"a"',
    "/opt/a's",
    "/opt/a\\b",
    "/opt/a\tb",
    "/opt/a\nExecStartPre=/bin/false",
  ];
  for (const prefix of ["/home/a/.local", "/root/.local", ...unfit])
    expect(paths(prefix)).toEqual([]);
  expect(paths("/usr")).toEqual([
    "lib/systemd/system/framepass-sender@.service",
    "lib/systemd/system/framepass-receiver@.service",
    "lib/systemd/system/vhost-user-video@.service",
    "lib/systemd/system/vhost-user-video@.socket",
    "lib/systemd/system/vhost-user-media@.service",
    "lib/systemd/system/vhost-user-media@.socket",
  ]);
  expect(paths("/homes")).toEqual(paths("/usr"));
});
