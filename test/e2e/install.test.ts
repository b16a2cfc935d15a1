// framepass install and uninstall with the built executable.
import { expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { built, dist, run, TempDir } from "../support/tool.ts";

const tree = (path: string) => readdirSync(path, { recursive: true, encoding: "utf8" }).sort();

test("the executable installs itself under a prefix with a blank, works there, and removes itself", async () => {
  using temp = new TempDir();
  const prefix = temp.file("a prefix");
  const words = ["--prefix", prefix, "--links"];
  const dry = await run("framepass", ["install", ...words, "--dry-run"]);
  expect({ status: dry.status, there: existsSync(prefix) }).toEqual({ status: 0, there: false });

  const done = await run("framepass", ["install", ...words]);
  expect(done.status).toBe(0);
  expect(done.stdout).toBe(dry.stdout.replaceAll("would write", "wrote"));
  expect(done.lines).toEqual([
    `framepass install: done; framepass uninstall --prefix '${prefix}' removes it`,
    `framepass install: warn: ${join(prefix, "bin")} is not in PATH`,
  ]);
  const listed = done.stdout.trim().split("\n");
  for (const line of listed) expect(existsSync(line.replace("wrote ", ""))).toBe(true);

  const there = join(prefix, "bin/framepass");
  const { stdout: version } = await run("framepass", ["version"]);
  expect((await run("", ["version"], { path: there })).stdout).toBe(version);
  const linked = await run("", ["-h"], { path: join(prefix, "bin/sender") });
  expect(linked.stdout).toContain("Usage: sender [OPTIONS]");

  // What libvirt does: read the descriptor, and ask the file that it names.
  for (const wanted of ["video", "media"]) {
    const descriptor = join(prefix, `share/qemu/vhost-user/50-framepass-${wanted}.json`);
    const { binary, type } = JSON.parse(readFileSync(descriptor, "utf8"));
    const asked = await run("", ["--print-capabilities"], { path: binary });
    expect([type, JSON.parse(asked.stdout).type]).toEqual([wanted, wanted]);
  }

  const again = await run("", ["install", "--prefix", prefix], { path: there });
  expect(again.stdout).toContain(`unchanged ${there}\n`);
  expect(again.stdout).toContain(`removed ${join(prefix, "bin/sender")}\n`);
  expect(existsSync(join(prefix, "bin/sender"))).toBe(false);

  const removed = await run("", ["uninstall", "--prefix", prefix], { path: there });
  expect(removed.status).toBe(0);
  expect(tree(temp.path)).toEqual([]);
  const twice = await run("framepass", ["uninstall", "--prefix", prefix]);
  expect({ status: twice.status, lines: twice.lines }).toEqual({
    status: 3,
    lines: [
      `framepass uninstall: ${join(prefix, "share/framepass/manifest")} is not there: framepass is not installed under ${prefix}; name its --prefix`,
    ],
  });
});

test("with --destdir everything is below it, and the descriptor names the place without it", async () => {
  using temp = new TempDir();
  const words = ["install", "--prefix", "/usr", "--destdir", temp.file("new/root")];
  const { status, stdout, lines } = await run("framepass", words);
  expect({ status, lines }).toEqual({ status: 0, lines: [] });
  for (const line of stdout.trim().split("\n"))
    expect(line).toStartWith(`wrote ${temp.file("new/root/usr/")}`);
  const descriptor = temp.file("new/root/usr/share/qemu/vhost-user/50-framepass-video.json");
  expect(JSON.parse(readFileSync(descriptor, "utf8")).binary).toBe(
    "/usr/libexec/framepass/vhost-user-video",
  );

  const prefix = temp.file("new/root/usr");
  const there = join(prefix, "bin/framepass");
  const before = tree(temp.path);
  for (const word of ["install", "uninstall"]) {
    const refused = await run("", [word, "--prefix", prefix], { path: there });
    expect({ status: refused.status, lines: refused.lines }).toEqual({
      status: 3,
      lines: [
        `framepass ${word}: ${join(prefix, "share/framepass/manifest")}: what is here belongs to a package: use the package manager, or name another --prefix`,
      ],
    });
  }
  expect(tree(temp.path)).toEqual(before);
});

test("a link in the place of the executable is refused with one line, and stays", async () => {
  using temp = new TempDir();
  mkdirSync(temp.file("bin"));
  symlinkSync("/bin/true", temp.file("bin/framepass"));
  const { status, lines } = await run("framepass", ["install", "--prefix", temp.path]);
  expect({ status, lines }).toEqual({
    status: 3,
    lines: [
      `framepass install: ${temp.file("bin/framepass")}: framepass install did not write this link; move it away, or name another --prefix`,
    ],
  });
  expect(readlinkSync(temp.file("bin/framepass"))).toBe("/bin/true");
  expect(tree(temp.path)).toEqual(["bin", "bin/framepass"]);
});

test("a user who may not write there gets one line, and nothing is left", async () => {
  await built();
  using temp = new TempDir();
  chmodSync(temp.path, 0o755);
  copyFileSync(join(dist, "framepass"), temp.file("framepass"));
  mkdirSync(temp.file("p"));
  chmodSync(temp.file("p"), 0o555);
  const isRoot = process.getuid?.() === 0;
  const under = isRoot ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] : [];
  const words = ["install", "--prefix", temp.file("p")];
  const { status, lines } = await run("", words, { path: temp.file("framepass"), under });
  expect({ status, lines }).toEqual({
    status: 3,
    lines: [
      `framepass install: mkdir ${temp.file("p/share")}: EACCES (permission denied); run it as root, or name another --prefix`,
    ],
  });
  expect(tree(temp.file("p"))).toEqual([]);
});

test("a program that runs from its sources cannot be installed, and says how to build it", async () => {
  using temp = new TempDir();
  const main = join(dist, "../cmd/framepass.ts");
  const words = [main, "install", "--prefix", temp.path];
  const { status, lines } = await run("", words, { path: process.execPath });
  expect({ status, lines }).toEqual({
    status: 3,
    lines: ["framepass install: only a built executable can be installed; bun run build makes it"],
  });
});

const mayMount =
  Bun.which("unshare") !== null &&
  Bun.spawnSync(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]).exitCode === 0;

/** Only bin and the manifest's folder can be written. */
const folders = 'mkdir -p "$1/bin" "$1/libexec/framepass" "$1/share/framepass"';
const both = 'mount -t tmpfs none "$1/bin"; mount -t tmpfs none "$1/share/framepass"';
const half = `half() { mount -t tmpfs none "$1"; ${folders}; ${both}; mount -o remount,ro "$1"; }; half`;

test.skipIf(!mayMount).each([
  ["a full disk", "mount -t tmpfs -o size=8m none", "write", "ENOSPC", "free some space"],
  ["a read-only disk", "mount -t tmpfs -o ro none", "mkdir", "EROFS", "name another --prefix"],
  ["a prefix that is read-only in parts", half, "symlink", "EROFS", "name another --prefix"],
])("%s is one line with what to do, and nothing is left", async (_, mount, call, code, todo) => {
  using temp = new TempDir();
  const disk = temp.file("disk");
  mkdirSync(disk);
  const seen = `find "${disk}" -mindepth 1`;
  const script = `${mount} "${disk}" && { before=$(${seen}); "$0" "$@"; status=$?; [ "$(${seen})" = "$before" ] || ${seen}; exit $status; }`;
  const under = ["unshare", "-m", "sh", "-c", script];
  const { status, stdout, lines } = await run("framepass", ["install", "--prefix", disk], {
    under,
  });
  expect({ status, stdout, lines: lines.length }).toEqual({ status: 3, stdout: "", lines: 1 });
  expect(lines[0]).toStartWith(`framepass install: ${call} ${disk}/`);
  expect(lines[0]).toContain(`: ${code} (`);
  expect(lines[0]).toEndWith(`; ${todo}`);
});

test("a prefix in a folder that is not there is one line, and the folder is not made", async () => {
  using temp = new TempDir();
  const words = ["install", "--prefix", temp.file("no/prefix")];
  const { status, lines } = await run("framepass", words);
  expect({ status, lines }).toEqual({
    status: 3,
    lines: [
      `framepass install: mkdir ${temp.file("no/prefix")}: ENOENT (no such file or directory); the folder around it is not there: make it first, or name another --prefix`,
    ],
  });
  expect(tree(temp.path)).toEqual([]);
});
