// The archives for musl on systems that have only musl and libstdc++, and the package for arm64; what is for arm64 under an
// emulator of its processor. Not shown: Alpine's own libstdc++, which Debian does not have.
import { expect, test } from "bun:test";
import { cpSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { version } from "../../package.json";
import { hostCommand } from "../lab/debian.ts";
import { readFiguresOf } from "../support/figures-in-system.ts";
import { takeFirstSteps } from "../support/first-steps.ts";
import { muslArmSystem, muslArmWords, muslSystem } from "../support/musl-systems.ts";
import { archiveName, debOf, packaged, packages } from "../support/packages.ts";
import { SystemRoot } from "../support/system-root.ts";
import { armSystem } from "../support/systems.ts";
import { TempDir } from "../support/tool.ts";

/** A new system has to be downloaded first. */
const MAKING_MS = 600_000;

/** What is in the folders that an installation writes to. */
const tree = (system: SystemRoot) =>
  readdirSync(system.file("usr"), { recursive: true, encoding: "utf8" }).sort();

/** Unpacks an archive as /framepass. */
async function unpackArchive(target: string, system: SystemRoot): Promise<void> {
  using temp = new TempDir();
  const name = archiveName(target);
  const packed = Bun.file(join(packages, `${name}.tar.zst`));
  await Bun.write(temp.file("tar"), await Bun.zstdDecompress(await packed.bytes()));
  await hostCommand(["tar", "-C", temp.path, "-xf", temp.file("tar")]);
  cpSync(temp.file(name), system.file("framepass"), { recursive: true });
}

/** Looks at the version and the target that the executable names. */
async function checkVersion(system: SystemRoot, framepass: readonly string[], target: string) {
  const line = await system.ok([...framepass, "--version"]);
  expect(line).toMatch(new RegExp(`^framepass ${version} \\(.*\\) ${target}\n$`));
}

test(
  "musl: the archive is unpacked, used with the lines of its help, installed and removed",
  async () => {
    packaged();
    await using system = await SystemRoot.enter(await muslSystem());
    await unpackArchive("linux-x64-musl", system);
    mkdirSync(system.file("usr/local"), { recursive: true });
    const before = tree(system);

    const unpacked = "/framepass/framepass";
    await checkVersion(system, [unpacked], "linux-x64-musl");
    expect(await system.ok([unpacked, "doctor", "receiver"])).toContain("C library          musl");
    await takeFirstSteps(system, [unpacked]);
    await readFiguresOf(system, [unpacked]);

    await system.ok([unpacked, "install"]);
    const installed = "/usr/local/bin/framepass";
    expect(await system.ok([installed, "version"])).toBe(await system.ok([unpacked, "version"]));
    await system.ok([installed, "uninstall"]);
    expect(tree(system)).toEqual(before);
  },
  MAKING_MS,
);

test(
  "arm64: the executable of the package starts, and the lines of its help work",
  async () => {
    packaged();
    await using system = await SystemRoot.enter(await armSystem());
    await hostCommand(["dpkg-deb", "-x", debOf("arm64"), system.file("/")]);
    const framepass = ["/qemu", "/usr/bin/framepass"];
    await checkVersion(system, framepass, "linux-arm64");
    expect(await system.ok([...framepass, "receiver", "--help"])).toContain(
      "Usage: framepass receiver",
    );
    await takeFirstSteps(system, framepass);
    await readFiguresOf(system, framepass);
  },
  MAKING_MS,
);

test(
  "musl on arm64: the executable of the archive starts, and the lines of its help work",
  async () => {
    packaged();
    await using system = await SystemRoot.enter(await muslArmSystem());
    await unpackArchive("linux-arm64-musl", system);
    const framepass = [...muslArmWords, "/framepass/framepass"];
    await checkVersion(system, framepass, "linux-arm64-musl");
    await takeFirstSteps(system, framepass);
  },
  MAKING_MS,
);
