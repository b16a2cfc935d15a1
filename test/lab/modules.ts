// What is compiled for guests: kernel modules that Debian's kernel does not have, built against its headers (our own from a
// directory, and vicodec from the kernel's sources), and C programs. Results are kept in the cache.

import { cpSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { ensureDebian } from "../../scripts/ensure.ts";
import { cachedDir, contentKey, hostCommand, unpackPackages } from "./debian.ts";
import { fetchKernel, type Kernel } from "./kernel.ts";
import { unpackRelease } from "./other-release.ts";

/**
 * Builds the modules of a directory that has a Makefile with `obj-m`; answers the path of each .ko by
 * its name without the ending. A path is what GuestOptions.modules takes.
 */
export async function buildModules(source: string): Promise<ReadonlyMap<string, string>> {
  const kernel = await fetchKernel();
  const files = readdirSync(source, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const key = contentKey(
    kernel.version,
    ...files.flatMap((path) => [relative(source, path), readFileSync(path)]),
  );
  const built = await cachedDir(`modules-${key}`, async (dir) => {
    cpSync(source, dir, { recursive: true });
    await make(kernel, dir);
  });
  const modules = readdirSync(built).filter((name) => name.endsWith(".ko"));
  return new Map(modules.map((name) => [name.slice(0, -".ko".length), join(built, name)]));
}

/** Builds a C program that needs no libraries, so that any guest can run it; answers the executable's path. */
export async function buildStatic(source: string): Promise<string> {
  ensureDebian([
    { package: "gcc", provides: "gcc" },
    { package: "libc6-dev", provides: "/usr/include/stdio.h" },
    { package: "linux-libc-dev", provides: "/usr/include/linux/videodev2.h" },
  ]);
  const folder = dirname(source);
  const headers = readdirSync(folder).filter((name) => name.endsWith(".h"));
  const parts = [source, ...headers.sort().map((name) => join(folder, name))];
  const key = contentKey(...parts.map((path) => readFileSync(path)));
  const built = await cachedDir(`program-${key}`, async (dir) => {
    await hostCommand(["gcc", "-static", "-O1", "-Wall", "-o", join(dir, "program"), source]);
  });
  return join(built, "program");
}

/** vicodec, the kernel's virtual codec, with the v4l2-mem2mem it needs. */
export async function vicodecModules(): Promise<ReadonlyMap<string, string>> {
  const kernel = await fetchKernel();
  const source = await cachedDir(`vicodec-source-${kernel.version}`, async (dir) => {
    // The source package has the release's name; its newest version may be newer than our kernel.
    const release = `linux-source-${kernel.version.split(".").slice(0, 2).join(".")}`;
    const debs = `${dir}/debs`;
    await unpackPackages([`${release}=${await packageVersion(kernel)}`], debs);
    const media = `${release}/drivers/media`;
    await hostCommand([
      ...[
        "tar",
        "-xJf",
        join(debs, `usr/src/${release}.tar.xz`),
        "-C",
        dir,
        "--strip-components=4",
      ],
      ...[`${media}/test-drivers/vicodec`, `${media}/v4l2-core/v4l2-mem2mem.c`],
    ]);
    rmSync(debs, { recursive: true });
    const objects = "vicodec-objs := vicodec-core.o codec-fwht.o codec-v4l2-fwht.o";
    await hostCommand(["sh", "-c", `cd "${dir}" && mv vicodec/* . && rmdir vicodec && rm Kconfig`]);
    await Bun.write(join(dir, "Makefile"), `obj-m := v4l2-mem2mem.o vicodec.o\n${objects}\n`);
  });
  return buildModules(source);
}

/**
 * v4l2loopback as a release of Debian has it, built from its package for DKMS: "trixie", or "bookworm" for the version in
 * its backports. Answers the module's path.
 */
export async function loopbackModule(release: "trixie" | "bookworm"): Promise<string> {
  const source = await cachedDir(`v4l2loopback-${release}`, async (dir) => {
    const root = `${dir}.root`;
    try {
      const backports = release === "bookworm";
      await unpackRelease(
        { release, backports, alone: true, packages: ["v4l2loopback-dkms"] },
        root,
      );
      const [found = ""] = readdirSync(join(root, "usr/src"));
      for (const name of readdirSync(join(root, "usr/src", found)))
        if (/\.[ch]$/.test(name)) cpSync(join(root, "usr/src", found, name), join(dir, name));
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
    await Bun.write(join(dir, "Makefile"), "obj-m := v4l2loopback.o\n");
  });
  return (await buildModules(source)).get("v4l2loopback") ?? "";
}

async function make(kernel: Kernel, dir: string): Promise<void> {
  ensureDebian([
    { package: "make", provides: "make" },
    { package: "gcc-12", provides: "x86_64-linux-gnu-gcc-12" },
    { package: "binutils", provides: "ld" },
    { package: "libelf1", provides: "/usr/lib/x86_64-linux-gnu/libelf.so.1" },
    { package: "libssl3", provides: "/usr/lib/x86_64-linux-gnu/libcrypto.so.3" },
  ]);
  const headers = await fetchHeaders(kernel);
  const jobs = `-j${navigator.hardwareConcurrency}`;
  await hostCommand(["make", "-s", jobs, "-C", headers, `M=${dir}`, "modules"]);
}

/**
 * The kernel's headers, unpacked. Installing the package would install a kernel as well and take a minute
 * more. Their Makefile names an installed path, and with their vmlinux the build needs pahole: both are changed here.
 */
async function fetchHeaders(kernel: Kernel): Promise<string> {
  const release = kernel.version.replace(/-amd64$/, "");
  const root = await cachedDir(`headers-${kernel.version}`, async (dir) => {
    await unpackPackages(
      [
        `linux-headers-${kernel.version}`,
        `linux-headers-${release}-common`,
        `linux-kbuild-${release}`,
      ],
      dir,
    );
    const own = join(dir, `usr/src/linux-headers-${kernel.version}`);
    rmSync(join(own, "vmlinux"));
    const include = `include $(dir $(lastword $(MAKEFILE_LIST)))../linux-headers-${release}-common/Makefile`;
    await Bun.write(join(own, "Makefile"), `${include}\n`);
  });
  return join(root, `usr/src/linux-headers-${kernel.version}`);
}

/** The Debian version the kernel's own package has, "6.12.117-1~deb12u1". */
async function packageVersion(kernel: Kernel): Promise<string> {
  const show = await hostCommand(["apt-cache", "show", `linux-image-${kernel.version}-unsigned`]);
  const version = /^Version: (\S+)$/m.exec(show)?.[1];
  if (version === undefined) throw new Error(`apt knows no version of kernel ${kernel.version}`);
  return version;
}
