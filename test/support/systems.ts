// Systems in folders of the lab's cache, made once: small Debian installations, and one of another architecture.
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ensureDebian } from "../../scripts/ensure.ts";
import { packageNeeds } from "../../scripts/package-needs.ts";
import { cachedDir, hostCommand } from "../lab/debian.ts";
import { archive, unpackRelease } from "../lab/other-release.ts";

export type Release = "bullseye" | "bookworm" | "trixie";

/** A Debian of this release with the packages that every installation has, and apt with its lists. */
export function debianSystem(release: Release): Promise<string> {
  ensureDebian(packageNeeds);
  return cachedDir(`system-${release}`, async (root) => {
    const words = ["--variant=minbase", release, root, await archive()];
    await hostCommand(["debootstrap", ...words], { timeoutMs: 600_000 });
    const archives = join(root, "var/cache/apt/archives");
    for (const name of readdirSync(archives).filter((name) => name.endsWith(".deb")))
      rmSync(join(archives, name));
  });
}

/** The C library of Debian 12 for arm64, and the emulator. */
export const armSystem = (): Promise<string> =>
  cachedDir("system-arm64", async (root) => {
    await unpackRelease({ release: "bookworm", architecture: "arm64", packages: ["libc6"] }, root);
    await copyEmulator(root);
  });

/** Puts the emulator of programs for arm64 into a system: /qemu. */
export async function copyEmulator(root: string): Promise<void> {
  const folder = await cachedDir("emulator-arm64", async (into) => {
    const packages = ["qemu-user-static"];
    await unpackRelease({ release: "bookworm", packages, alone: true }, into);
  });
  await hostCommand(["cp", join(folder, "usr/bin/qemu-aarch64-static"), join(root, "qemu")]);
}
