// The files of `bun run package`: made twice, looked at by lintian, compared with what `framepass install` writes.
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureDebian, projectDir } from "../../scripts/ensure.ts";
import { packageNeeds } from "../../scripts/package-needs.ts";
import { bundledPackages } from "../../scripts/packages/components.ts";
import { hostCommand } from "../lab/debian.ts";
import { archiveName, debOf, packaged, packages } from "../support/packages.ts";
import { run, TempDir } from "../support/tool.ts";

const BUILD_MS = 300_000;

/** The sources as they are now, with their history, in another folder. */
async function copySources(to: string): Promise<void> {
  const listed = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const names = await hostCommand(["git", "-C", projectDir, ...listed]);
  const there = names.split("\0").filter((name) => existsSync(join(projectDir, name)));
  for (const name of there) if (name !== "") cpSync(join(projectDir, name), join(to, name));
  cpSync(join(projectDir, ".git"), join(to, ".git"), { recursive: true });
  for (const { name } of bundledPackages())
    cpSync(join(projectDir, "node_modules", name), join(to, "node_modules", name), {
      recursive: true,
    });
  // What ensureNpm() looks for: the packages above are all that a build needs.
  writeFileSync(join(to, "node_modules/.framepass-installed"), "");
}

test(
  "two builds of the same sources, in two folders and two settings of the shell, give the same bytes",
  async () => {
    packaged();
    using temp = new TempDir();
    const other = temp.file("another, longer name");
    mkdirSync(other);
    await copySources(other);
    const shell = `umask 077; cd "$0" && exec "$1" run package`;
    const child = Bun.spawnSync(["sh", "-c", shell, other, process.execPath], {
      env: { ...process.env, TZ: "Asia/Tokyo", LC_ALL: "C.UTF-8", FRAMEPASS_CACHE: temp.path },
      stdin: "ignore",
      timeout: BUILD_MS,
    });
    expect({ status: child.exitCode, said: child.stderr.toString() }).toEqual({
      status: 0,
      said: expect.not.stringContaining("package:"),
    });
    const sums = (folder: string) => readFileSync(join(folder, "SHA256SUMS"), "utf8");
    expect(sums(join(other, "dist/packages"))).toBe(sums(packages));
    expect(sums(packages)).toBe(
      readdirSync(packages)
        .filter((name) => name !== "SHA256SUMS")
        .sort()
        .map((name) => `${sumOf(join(packages, name))}  ${name}\n`)
        .join(""),
    );
  },
  BUILD_MS,
);

const sumOf = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

test(
  "lintian finds no error in the packages of both architectures",
  async () => {
    ensureDebian(packageNeeds);
    packaged();
    const words = [
      "lintian",
      "--allow-root",
      "--fail-on",
      "error",
      "--suppress-tags",
      "spelling-error-in-binary",
    ];
    const both = ["amd64", "arm64"].map(debOf);
    expect(await hostCommand([...words, ...both], { timeoutMs: 200_000 })).not.toMatch(/^E:/m);
  },
  BUILD_MS,
);

/** Mode, owner and path of each entry of a package, and where its links lead. */
const contents = async (architecture: string) => {
  const lines = await hostCommand(["dpkg-deb", "--contents", debOf(architecture)]);
  return lines
    .trim()
    .split("\n")
    .map((line) => /^(\S+) (\S+) +\d+ \S+ \S+ \.\/(.*)$/.exec(line)?.slice(1) ?? [line]);
};

test("a package has what framepass install writes, with pages that are packed, and nothing outside /usr", async () => {
  packaged();
  using temp = new TempDir();
  const words = ["install", "--prefix", "/usr", "--destdir", temp.file("root")];
  const { stdout } = await run("framepass", words);
  const wrote = stdout.trim().split("\n");
  const installed = wrote.map((line) => line.replace(`wrote ${temp.file("root")}/`, ""));
  const entries = await contents("amd64");
  const paths = entries.map(([, , path = ""]) => path.replace(/ -> .*/, ""));
  for (const path of installed) {
    const packed = path
      .replace(/\.1$/, ".1.gz")
      .replace("zsh/site-functions", "zsh/vendor-completions");
    expect(paths).toContain(packed);
  }
  expect(paths.filter((path) => path !== "" && !path.startsWith("usr/"))).toEqual([]);
  // No general word as a command, no absolute link, all of root.
  expect(paths.filter((path) => /^usr\/s?bin\/./.test(path))).toEqual(["usr/bin/framepass"]);
  for (const [mode = "", owner, path = ""] of entries) {
    expect(owner).toBe("root/root");
    expect(["drwxr-xr-x", "-rwxr-xr-x", "-rw-r--r--", "lrwxrwxrwx"]).toContain(mode);
    expect(path).not.toContain("-> /");
  }
  expect(await contents("arm64")).toEqual(entries);
});

test.each(["linux-x64-musl", "linux-arm64-musl"])(
  "the archive for %s has the executable and the licences of all that is in it",
  async (target) => {
    packaged();
    using temp = new TempDir();
    const packed = Bun.file(join(packages, `${archiveName(target)}.tar.zst`));
    const tar = temp.file("tar");
    await Bun.write(tar, await Bun.zstdDecompress(await packed.bytes()));
    const listed = await hostCommand(["tar", "--numeric-owner", "-tvf", tar]);
    const entries = listed
      .trim()
      .split("\n")
      .map((line) => line.split(/\s+/));
    const folder = `${archiveName(target)}/`;
    expect(entries.map(([mode, owner, , , , path]) => [mode, owner, path])).toEqual([
      ["drwxr-xr-x", "0/0", folder],
      ["-rw-r--r--", "0/0", `${folder}LICENSE-APACHE`],
      ["-rw-r--r--", "0/0", `${folder}LICENSE-BSD-3-CLAUSE`],
      ["-rw-r--r--", "0/0", `${folder}LICENSES`],
      ["-rw-r--r--", "0/0", `${folder}README`],
      ["-rwxr-xr-x", "0/0", `${folder}framepass`],
    ]);
    const licences = await hostCommand(["tar", "-xOf", tar, `${folder}LICENSES`]);
    for (const { name, version } of bundledPackages())
      expect(licences).toContain(`${name} ${version}:`);
  },
);
