// The guest kernel: Debian's newest 6.12 image, unpacked into the cache. 6.12 because the 6.1 kernel
// of Debian 12 has no DMA heap and no udmabuf.

import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { aptGet, cacheDir } from "../../scripts/ensure.ts";
import { cachedDir, hostCommand, unpackPackages } from "./debian.ts";

/** An unpacked kernel. */
export interface Kernel {
  /** As `uname -r` says it, "6.12.117+deb12-amd64". */
  readonly version: string;
  /** The ELF file that is packed in the bzImage: an emulated guest takes 1.3 s of processor time to unpack it. */
  readonly elf: string;
  /** The directory that holds lib/modules. */
  readonly root: string;
}

const imagePackage = /^linux-image-(6\.12\.\d+\+deb\d+-amd64)-unsigned /gm;

/** The kernel in the cache; when there is none, the newest one apt offers is fetched. */
export async function fetchKernel(): Promise<Kernel> {
  const lab = join(cacheDir(), "lab");
  mkdirSync(lab, { recursive: true });
  const cached = readdirSync(lab).flatMap(
    (name) => /^kernel-(6\.\S+-amd64)$/.exec(name)?.[1] ?? [],
  );
  const version = newest(cached) ?? (await newestOffered());
  const root = await cachedDir(`kernel-${version}`, async (dir) => {
    await unpackPackages([`linux-image-${version}-unsigned`], dir);
    await hostCommand(["depmod", "-b", dir, version]);
  });
  const unpacked = await cachedDir(`vmlinux-${version}`, async (dir) => {
    const image = readFileSync(join(root, "boot", `vmlinuz-${version}`));
    await Bun.write(join(dir, "vmlinux"), await Bun.zstdDecompress(payload(image)));
  });
  return { version, elf: join(unpacked, "vmlinux"), root };
}

/** What is packed in a bzImage: Documentation/arch/x86/boot.rst. Throws when it is not packed by zstd. */
export function payload(image: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const header = new DataView(image.buffer, image.byteOffset);
  const setupSectors = header.getUint8(0x1f1);
  const from = (setupSectors + 1) * 512 + header.getUint32(0x248, true);
  const size = header.getUint32(0x24c, true) - 4; // the size of what is packed follows it
  const packed = image.subarray(from, from + size);
  const magic = Buffer.from(packed.subarray(0, 4)).toString("hex");
  if (magic !== "28b52ffd") throw new Error(`the kernel begins with ${magic}, must be zstd`);
  return packed;
}

/** The highest of some kernel versions, compared number by number. */
export function newest(versions: readonly string[]): string | undefined {
  return [...versions].sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
}

async function newestOffered(): Promise<string> {
  aptGet(["update", "-qq"]); // without root this fails, and the lists stay as they are
  const lines = await hostCommand(["apt-cache", "search", "--names-only", "^linux-image-6.12"]);
  const found = newest([...lines.matchAll(imagePackage)].map((match) => match[1] ?? ""));
  if (found !== undefined) return found;
  throw new Error("apt offers no linux-image-6.12.*-amd64-unsigned: is this Debian 12 or later");
}

/** The files to load, in order, for one in-tree module; nothing when it is built in. */
export async function moduleFiles(kernel: Kernel, name: string): Promise<readonly string[]> {
  const show = ["modprobe", "-S", kernel.version, "-d", kernel.root, "--show-depends", name];
  const lines = await hostCommand(show);
  return lines.split("\n").flatMap((line) => /^insmod (\S+)/.exec(line)?.[1] ?? []);
}
