// Systems in folders of the lab's cache, made once: small Debian installations, one of another architecture, one with musl.
import { readdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { ensureDebian } from "../../scripts/ensure.ts";
import { packageNeeds } from "../../scripts/package-needs.ts";
import { cachedDir, contentKey, hostCommand, unpackPackages } from "../lab/debian.ts";
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

/** The C library of Debian 12 for arm64, and the emulator of a user's programs, /qemu. */
export function armSystem(): Promise<string> {
  return cachedDir("system-arm64", async (root) => {
    await unpackRelease({ release: "bookworm", architecture: "arm64", packages: ["libc6"] }, root);
    const emulator = `${root}.emulator`;
    try {
      const packages = ["qemu-user-static"];
      await unpackRelease({ release: "bookworm", packages, alone: true }, emulator);
      const program = join(emulator, "usr/bin/qemu-aarch64-static");
      await hostCommand(["cp", program, join(root, "qemu")]);
    } finally {
      rmSync(emulator, { recursive: true, force: true });
    }
  });
}

/**
 * What libstdc++ and libgcc of Debian want of glibc, for musl. Alpine's own libraries are not in Debian; these have the same
 * functions, and musl takes the libraries of glibc as its own name.
 */
const glibcParts = `
char __libc_single_threaded = 0;
int __cpu_model[4];
int __cpu_indicator_init(void) { return 0; }
int _dl_find_object(void *at, void *result) { return -1; }
int __cxa_thread_atexit_impl(void (*run)(void *), void *object, void *library) { return 0; }
int getentropy(void *, unsigned long);
unsigned arc4random(void) { unsigned value = 0; getentropy(&value, sizeof value); return value; }
unsigned long strftime_l(char *, unsigned long, const char *, const void *, void *);
unsigned long __strftime_l(char *to, unsigned long size, const char *format, const void *time, void *locale) {
  return strftime_l(to, size, format, time, locale);
}
`;

/** musl as its loader /lib/ld-musl-x86_64.so.1, with libstdc++, as on Alpine Linux; and nothing else, not even a shell. */
export function muslSystem(): Promise<string> {
  ensureDebian(packageNeeds);
  return cachedDir(`system-musl-${contentKey(glibcParts)}`, async (root) => {
    const unpacked = `${root}.unpacked`;
    try {
      await hostCommand(["mkdir", "-p", unpacked, join(root, "lib")]);
      await unpackPackages(["musl", "libstdc++6", "libgcc-s1"], unpacked);
      const files = [
        ["x86_64-linux-musl/libc.so", "ld-musl-x86_64.so.1"],
        ["x86_64-linux-gnu/libstdc++.so.6", "libstdc++.so.6"],
        ["x86_64-linux-gnu/libgcc_s.so.1", "libgcc_s.so.1"],
      ] as const;
      for (const [from, to] of files) {
        const places = ["lib", "usr/lib"].map((folder) => join(unpacked, folder, from));
        const [found] = places.filter((path) => Bun.file(path).size > 0);
        if (found === undefined) throw new Error(`no ${from} in the packages of musl and gcc`);
        await hostCommand(["cp", "-L", found, join(root, "lib", to)]);
      }
      symlinkSync("ld-musl-x86_64.so.1", join(root, "lib/libc.musl-x86_64.so.1"));
      const source = join(unpacked, "glibc-parts.c");
      await Bun.write(source, glibcParts);
      const name = "ld-linux-x86-64.so.2"; // the library that nothing of musl provides
      const words = ["-shared", "-fPIC", "-O", "-nostdlib", `-Wl,-soname,${name}`];
      await hostCommand(["gcc", ...words, "-o", join(root, "lib", name), source]);
    } finally {
      rmSync(unpacked, { recursive: true, force: true });
    }
  });
}
