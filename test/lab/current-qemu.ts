// A current QEMU beside the host's own: from Debian's next release and its backports, unpacked into the cache with all its
// libraries and run with them. Nothing is installed, and root is not needed.

import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { aptGet } from "../../scripts/ensure.ts";
import { cachedDir, hostCommand } from "./debian.ts";

const release = "trixie";
const packages = ["qemu-system-x86", "seabios"];
const libraries = "usr/lib/x86_64-linux-gnu";
/** Parts of packages that no guest of ours needs. */
const ballast = ["usr/share/doc", "usr/share/man", "usr/share/locale", "etc", "var", "usr/sbin"];

/** The program, as GuestOptions.qemu takes it; fetched (45 MB) when it is not in the cache. */
export async function currentQemu(): Promise<string> {
  const dir = await cachedDir(`qemu-${release}`, async (root) => {
    await unpack(root);
    await hostCommand(["sh", "-c", `cd "${root}" && rm -rf ${ballast.join(" ")}`]);
    // The host's C library may be older: the program is run by the loader it came with.
    const start = [
      "#!/bin/sh",
      'root=$(dirname "$(readlink -f "$0")")',
      `lib=$root/${libraries}`,
      'exec "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$root/usr/bin/qemu-system-x86_64" \\',
      '  -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "$@"',
    ];
    const path = join(root, "qemu");
    await Bun.write(path, `${start.join("\n")}\n`);
    chmodSync(path, 0o755);
    await hostCommand([path, "--version"]);
  });
  return join(dir, "qemu");
}

/** Fetches the packages and all they need on an empty system, from a list of sources of our own. */
async function unpack(root: string): Promise<void> {
  const work = `${root}.apt`;
  for (const sub of ["lists/partial", "cache/archives/partial"]) {
    mkdirSync(join(work, sub), { recursive: true });
  }
  try {
    const site = await archive();
    const lines = ["", "-backports"].map((part) => `deb ${site} ${release}${part} main\n`);
    await Bun.write(join(work, "sources.list"), lines.join(""));
    const options = [
      `Dir::Etc::sourcelist=${work}/sources.list`,
      "Dir::Etc::sourceparts=-",
      `Dir::State::lists=${work}/lists`,
      "Dir::State::status=/dev/null",
      `Dir::Cache=${work}/cache`,
      "Debug::NoLocking=1",
    ].flatMap((option) => ["-o", option]);
    const install = ["--download-only", "--no-install-recommends", "-t", `${release}-backports`];
    const failure =
      aptGet([...options, "update", "-qq"]) ??
      aptGet([...options, "install", "-y", "-qq", ...install, ...packages]);
    if (failure !== undefined) throw new Error(`QEMU of ${release}-backports: ${failure}`);
    const debs = join(work, "cache/archives");
    for (const deb of readdirSync(debs).filter((name) => name.endsWith(".deb"))) {
      await hostCommand(["dpkg-deb", "-x", join(debs, deb), root]);
    }
    if (!existsSync(join(root, libraries, "ld-linux-x86-64.so.2"))) {
      throw new Error(`QEMU of ${release}-backports: its packages are not what they were`);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Where the host gets its own packages from. */
async function archive(): Promise<string> {
  const format = "$(CREATED_BY) $(REPO_URI) $(CODENAME)";
  const lines = await hostCommand(["apt-get", "indextargets", "--format", format]);
  // Not security fixes or anything else beside the release itself.
  const found = /^Packages (\S+\/debian\/?) [a-z]+$/m.exec(lines)?.[1];
  if (found === undefined) throw new Error("apt has no archive of Debian: apt-get indextargets");
  return found;
}
