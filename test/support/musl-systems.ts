// Systems with musl and libstdc++, as on Alpine Linux, and nothing else, not even a shell. Alpine's own libstdc++ is not in Debian:
// Debian's is used, which has the same functions. musl takes the libraries of glibc that it needs as its own name, and
// the few functions that musl does not have are in a library of ours.
import { existsSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { ensureDebian } from "../../scripts/ensure.ts";
import { packageNeeds } from "../../scripts/package-needs.ts";
import { cachedDir, contentKey, hostCommand, unpackPackages } from "../lab/debian.ts";
import { unpackRelease } from "../lab/other-release.ts";
import { copyEmulator } from "./systems.ts";

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

/** musl for this processor. */
export function muslSystem(): Promise<string> {
  ensureDebian(packageNeeds);
  return cachedDir(`system-musl-${contentKey(glibcParts)}`, async (root) => {
    const unpacked = `${root}.unpacked`;
    try {
      await hostCommand(["mkdir", "-p", unpacked]);
      await unpackPackages(["musl", "libstdc++6", "libgcc-s1"], unpacked);
      await copyLibraries(unpacked, "x86_64", root);
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

/** The same for arm64: there is no compiler, but an assembler of Debian that the emulator runs. */
const armGlibcParts = `
.macro function name
.global \\name
.type \\name, %function
\\name:
.endm
.text
function __strftime_l
  b strftime_l
function __getauxval
  b getauxval
function arc4random
  mov w0, #4
  ret
function _dl_find_object
  mov w0, #-1
  ret
function __cxa_thread_atexit_impl
  mov w0, #0
  ret
.data
.global __libc_single_threaded
.type __libc_single_threaded, %object
.size __libc_single_threaded, 1
__libc_single_threaded: .byte 0
`;

/** musl for arm64, and the emulator; `muslArmWords` start a program. */
export const muslArmSystem = (): Promise<string> =>
  cachedDir(`system-musl-arm64-${contentKey(armGlibcParts)}`, async (root) => {
    const unpacked = `${root}.unpacked`;
    try {
      const packages = ["musl", "libstdc++6", "libgcc-s1", "binutils"];
      await unpackRelease({ release: "bookworm", architecture: "arm64", packages }, unpacked);
      await copyLibraries(unpacked, "aarch64", root);
      await copyEmulator(root);
      await copyEmulator(unpacked);
      await Bun.write(join(unpacked, "parts.s"), armGlibcParts);
      const emulated = ["chroot", unpacked, "/qemu"];
      await hostCommand([...emulated, "/usr/bin/as", "-o", "/parts.o", "/parts.s"]);
      await hostCommand([...emulated, "/usr/bin/ld", "-shared", "-o", "/parts.so", "/parts.o"]);
      await hostCommand(["cp", join(unpacked, "parts.so"), join(root, "lib/glibc-parts.so")]);
    } finally {
      rmSync(unpacked, { recursive: true, force: true });
    }
  });
export const muslArmWords = ["/qemu", "-E", "LD_PRELOAD=/lib/glibc-parts.so"] as const;

/** Puts the loader, libstdc++ and libgcc of unpacked packages into a system. */
async function copyLibraries(unpacked: string, processor: string, root: string): Promise<void> {
  const loader = `ld-musl-${processor}.so.1`;
  const files = [
    [`${processor}-linux-musl/libc.so`, loader],
    [`${processor}-linux-gnu/libstdc++.so.6`, "libstdc++.so.6"],
    [`${processor}-linux-gnu/libgcc_s.so.1`, "libgcc_s.so.1"],
  ] as const;
  await hostCommand(["mkdir", "-p", join(root, "lib")]);
  for (const [from, to] of files) {
    const places = ["lib", "usr/lib"].map((folder) => join(unpacked, folder, from));
    const found = places.find((path) => existsSync(path));
    if (found === undefined) throw new Error(`no ${from} in the packages of musl and gcc`);
    await hostCommand(["cp", "-L", found, join(root, "lib", to)]);
  }
  symlinkSync(loader, join(root, `lib/libc.musl-${processor}.so.1`));
}
