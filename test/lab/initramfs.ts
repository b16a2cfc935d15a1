// The guest's user land as a cpio archive: busybox, v4l2-ctl and asked-for packages with all their
// libraries, and the kernel modules. Kept in the cache under a hash of its contents.

import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { cachedDir, contentKey, hostCommand, unpackPackages, withDependencies } from "./debian.ts";
import { type Kernel, moduleFiles } from "./kernel.ts";

/** In every guest: the shell, and the camera tool with the C and C++ libraries it needs. */
const basePackages = ["busybox-static", "v4l-utils"];

/** Loaded before anything else: the share, and the network card. */
const baseModules = ["9p", "9pnet_virtio", "virtio_net"];

/** Parts of packages no guest needs. */
const ballast = ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian"];
const ballastGlobs = "usr/lib/x86_64-linux-gnu/gconv usr/bin/qv* usr/share/bug usr/share/info";

/** What an initramfs is made of. */
export interface InitramfsContent {
  readonly kernel: Kernel;
  /** Names of in-tree modules, or paths of .ko files. */
  readonly modules: readonly string[];
  /** Debian packages, with all they depend on. */
  readonly packages: readonly string[];
  /** Debian packages, without what they depend on. */
  readonly plainPackages: readonly string[];
  /** Guest path -> host path of a file. */
  readonly files: Readonly<Record<string, string>>;
}

/** A built initramfs. */
export interface Initramfs {
  readonly path: string;
  /** Module (as asked for) -> file names below /modules in loading order, the module itself last. */
  readonly order: ReadonlyMap<string, readonly string[]>;
}

/** Builds the archive, or finds it in the cache. */
export async function buildInitramfs(content: InitramfsContent): Promise<Initramfs> {
  const { kernel } = content;
  const order = new Map<string, readonly string[]>();
  const sources = new Map<string, string>(); // file name below /modules -> host path
  for (const module of new Set([...baseModules, ...content.modules])) {
    const files = await loadOrder(kernel, module);
    for (const file of files) sources.set(guestName(file), file);
    order.set(module, files.map(guestName));
  }
  const init = join(import.meta.dir, "init.sh");
  const base = [...new Set(baseModules.flatMap((name) => order.get(name) ?? []))];
  const extra = Object.entries(content.files).sort();
  const outside = [...sources.values()].filter((path) => !path.startsWith(kernel.root));
  const packages = [...new Set([...basePackages, ...content.packages])].sort();
  const plain = [...content.plainPackages].sort();
  const key = contentKey(
    kernel.version,
    [...packages, ...plain].join(" "),
    base.join(" "),
    [...sources.keys()].sort().join(" "),
    extra.map(([to]) => to).join(" "),
    ...[init, ...outside, ...extra.map(([, from]) => from)].map((path) => readFileSync(path)),
  );
  const dir = await cachedDir(`initramfs-${key}`, async (out) => {
    const root = join(out, "root");
    await hostCommand(["cp", "-a", await userLand(packages, plain), root]);
    for (const [to, from] of [["/init", init] as const, ...extra]) {
      mkdirSync(dirname(join(root, to)), { recursive: true });
      cpSync(from, join(root, to));
    }
    chmodSync(join(root, "init"), 0o755);
    mkdirSync(join(root, "modules"));
    for (const [name, from] of sources) await unpackModule(from, join(root, "modules", name));
    await Bun.write(join(root, "modules/order.base"), `${base.join("\n")}\n`);
    const pack = `cd "${root}" && find . | cpio --quiet -o -H newc -R 0:0 >"${out}/initramfs"`;
    await hostCommand(["sh", "-c", pack]);
    await rm(root, { recursive: true });
  });
  return { path: join(dir, "initramfs"), order };
}

/** Lines of FILE and PARAMETERS that load modules ("vivid n_devs=2"), each with those it needs and each file once. */
export function loadLines({ order }: Initramfs, modules: readonly string[]): string {
  const loaded = new Set<string>();
  const lines = modules.flatMap((line) => {
    const all = order.get(moduleOf(line)) ?? [];
    const files = all.filter((file) => !loaded.has(file)); // several may need the same one
    for (const file of files) loaded.add(file);
    const params = line.slice(moduleOf(line).length);
    return files.map((file, at) => `/modules/${file}${at === files.length - 1 ? params : ""}\n`);
  });
  return lines.join("");
}

/** The module of a line with parameters. */
export function moduleOf(line: string): string {
  return line.split(" ")[0] ?? "";
}

/** The unpacked packages, with busybox under all its names. */
async function userLand(packages: readonly string[], plain: readonly string[]): Promise<string> {
  const key = contentKey([...packages, ...plain].join(" "));
  return cachedDir(`userland-${key}`, async (root) => {
    await unpackPackages([...(await withDependencies(packages)), ...plain], root);
    await hostCommand(["sh", "-c", `cd "${root}" && rm -rf ${ballast.join(" ")} ${ballastGlobs}`]);
    const busybox = join(root, "bin/busybox");
    for (const applet of (await hostCommand([busybox, "--list"])).trim().split("\n")) {
      const link = join(root, "bin", applet);
      if (!existsSync(link)) symlinkSync("/bin/busybox", link);
    }
    mkdirSync(join(root, "etc"), { recursive: true });
    await Bun.write(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
    await Bun.write(join(root, "etc/group"), "root:x:0:\n");
    const hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n";
    const peers = [1, 2].map((n) => `10.99.0.${n} guest${n}\nfd99::${n} guest${n}\n`).join("");
    await Bun.write(join(root, "etc/hosts"), hosts + peers);
  });
}

async function loadOrder(kernel: Kernel, module: string): Promise<readonly string[]> {
  if (!module.includes("/")) return moduleFiles(kernel, module);
  const depends = (await hostCommand(["modinfo", "-F", "depends", module])).trim();
  const files: string[] = [];
  for (const name of depends.split(",").filter((word) => word !== "")) {
    // A module built together with this one, or one of the kernel's own.
    const sibling = join(dirname(module), `${name}.ko`);
    files.push(...(await loadOrder(kernel, existsSync(sibling) ? sibling : name)));
  }
  return [...new Set([...files, module])];
}

/** The name a module file has in the guest. */
function guestName(path: string): string {
  return basename(path).replace(/\.xz$/, "");
}

/** Unpacked on the host, which is much faster than the emulated guest. */
async function unpackModule(from: string, to: string): Promise<void> {
  if (!from.endsWith(".xz")) cpSync(from, to);
  else await Bun.write(to, await hostBytes(["xz", "-dc", from]));
}

async function hostBytes(command: readonly string[]): Promise<Uint8Array> {
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  const bytes = await new Response(child.stdout).bytes();
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")} failed`);
  return bytes;
}
