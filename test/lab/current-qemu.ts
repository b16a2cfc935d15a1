// A current QEMU beside the host's own: from the backports of Debian 13, unpacked into the cache with all its libraries and
// run with them. Nothing is installed, and root is not needed.

import { chmodSync, existsSync } from "node:fs";
import { join } from "node:path";
import { cachedDir, hostCommand } from "./debian.ts";
import { unpackRelease } from "./other-release.ts";

const release = "trixie";
const packages = ["qemu-system-x86", "seabios"];
const libraries = "usr/lib/x86_64-linux-gnu";
/** Parts of packages that no guest of ours needs. */
const ballast = ["usr/share/doc", "usr/share/man", "usr/share/locale", "etc", "var", "usr/sbin"];

/** The program, as GuestOptions.qemu takes it; fetched (45 MB) when it is not in the cache. */
export async function currentQemu(): Promise<string> {
  const dir = await cachedDir(`qemu-${release}`, async (root) => {
    await unpackRelease({ release, backports: true, packages }, root);
    if (!existsSync(join(root, libraries, "ld-linux-x86-64.so.2"))) {
      throw new Error(`QEMU of ${release}-backports: no ${libraries}/ld-linux-x86-64.so.2 in it`);
    }
    await hostCommand(["sh", "-c", `cd "${root}" && rm -rf ${ballast.join(" ")}`]);
    // The host's C library may be older: the loader of the same release runs the program.
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
