// Xen under QEMU: the hypervisor of Debian 12 from its package, a dom0 that is a guest of the lab, and paravirtual domains.
// Nothing is installed; the tools of dom0 are unpacked into its user land.

import { copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { projectDir } from "../../scripts/ensure.ts";
import { cachedDir, hostCommand, unpackPackages } from "./debian.ts";
import { Domain } from "./domain.ts";
import { bootGuest, ensureLabTools, type Guest } from "./guest.ts";
import { buildInitramfs, loadLines, moduleOf } from "./initramfs.ts";
import { fetchKernel } from "./kernel.ts";
import { buildStatic } from "./modules.ts";
import { Scratch } from "./scratch.ts";

const version = "4.17";

/** What `xl create` needs; with all that they depend on it would be 77 packages, with Python. */
const tools = [
  ...[`xen-utils-${version}`, "xenstore-utils", `libxenmisc${version}`, "libxenstore4"],
  ...["libxencall1", "libxendevicemodel1", "libxenevtchn1", "libxenforeignmemory1"],
  ...["libxengnttab1", "libxentoolcore1", "libxentoollog1", "libxenhypfs1", "libyajl2"],
  ...["libnl-3-200", "libnl-route-3-200", "libfdt1"],
  ...["libuuid1", "liblzma5", "libzstd1", "zlib1g"],
];

const dom0Modules = [
  ...["xen-evtchn", "xenfs", "xen-privcmd", "xen-gntdev", "xen-gntalloc"],
  ...["xen-netback", "bridge"],
];
const domainModules = ["xen-evtchn", "xenfs", "xen-gntdev", "xen-gntalloc", "xen-netfront"];

const dom0Mib = 900;
/** Its ramdisk has the executable (109 MB), and is unpacked beside itself. */
const domainMib = 640;
/** What Xen keeps for itself. */
const xenMib = 300;

/**
 * spec-ctrl=eager-fpu: with Xen's lazy switching of the FPU programs that use AVX crash under emulation, or see torn pictures.
 * Without "noreboot" a Xen that crashes ends QEMU.
 */
const commandLine = `console=com1 com1=115200,8n1 dom0_mem=${dom0Mib}M,max:${dom0Mib}M dom0_max_vcpus=1 spec-ctrl=eager-fpu`;

/** How to boot Xen. */
export interface XenOptions {
  /** The domains there will be, each with the modules that it loads ("vivid n_devs=1") beside those of Xen. */
  readonly domains: readonly { readonly modules?: readonly string[] }[];
  /** Files to have in every domain: path there -> host path. */
  readonly files?: Readonly<Record<string, string>>;
}

/** A running Xen. */
export class XenHost {
  readonly dom0: Guest;
  readonly domains: readonly Domain[];
  readonly #scratch: Scratch;

  constructor(dom0: Guest, domains: readonly Domain[], scratch: Scratch) {
    this.dom0 = dom0;
    this.domains = domains;
    this.#scratch = scratch;
  }

  /** Starts what domains need, and creates them one after the other: the first one boots while the next is made. */
  async start(): Promise<void> {
    await this.dom0.ok(`dom0-start ${version}`, { timeoutMs: 60_000 });
    for (const domain of this.domains) await domain.create();
    await Promise.all(this.domains.map((domain) => domain.booted()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dom0[Symbol.asyncDispose]();
    this.#scratch[Symbol.dispose]();
  }
}

/** Boots Xen, its dom0 and the domains; settles when scripts can be run in all of them. */
export async function bootXenHost(options: XenOptions): Promise<XenHost> {
  ensureLabTools();
  const scratch = new Scratch();
  try {
    const agent = await buildStatic(source("domain-agent.c"));
    await makeRamdisk(options, agent, scratch.path);
    const dom0 = await bootGuest({
      name: "dom0",
      processors: 2, // one for dom0, one for a domain
      memoryMib: dom0Mib + options.domains.length * domainMib + xenMib,
      hypervisor: { image: await hypervisor(), commandLine },
      modules: dom0Modules,
      plainPackages: tools,
      files: {
        "/bin/dom0-start": source("dom0-start.sh"),
        "/bin/domain-agent": agent,
        "/etc/xen/scripts/vif-bridge": source("vif-bridge.sh"),
      },
      qemuArgs: [
        "-virtfs",
        `local,path=${scratch.path},mount_tag=domains,security_model=none,readonly=on`,
      ],
    });
    const domains = options.domains.map((_, at) => new Domain(dom0, at + 1, domainMib));
    return await started(new XenHost(dom0, domains, scratch));
  } catch (error) {
    scratch[Symbol.dispose]();
    throw error;
  }
}

/** The host with its domains up, or its end. */
async function started(host: XenHost): Promise<XenHost> {
  try {
    await host.start();
    return host;
  } catch (error) {
    for (const each of [host.dom0, ...host.domains]) process.stderr.write(each.console());
    await host[Symbol.asyncDispose]();
    throw error;
  }
}

const source = (name: string) => join(import.meta.dir, "xen", name);

/** The hypervisor as an ELF file, which is what QEMU boots. */
async function hypervisor(): Promise<string> {
  const dir = await cachedDir(`xen-${version}`, async (root) => {
    const unpacked = `${root}.unpacked`;
    try {
      await unpackPackages([`xen-hypervisor-${version}-amd64`], unpacked);
      const packed = join(unpacked, `boot/xen-${version}-amd64.gz`);
      await Bun.write(join(root, "xen"), Bun.gunzipSync(await Bun.file(packed).bytes()));
    } finally {
      rmSync(unpacked, { recursive: true, force: true });
    }
  });
  return join(dir, "xen");
}

/** Writes what domains boot from: `vmlinux` and `ramdisk`, which is the lab's user land and, appended, the executable. */
async function makeRamdisk(options: XenOptions, agent: string, dir: string): Promise<void> {
  const kernel = await fetchKernel();
  const modules = options.domains.map((domain) => [...domainModules, ...(domain.modules ?? [])]);
  const initramfs = await buildInitramfs({
    kernel,
    modules: modules.flat().map(moduleOf),
    packages: [],
    plainPackages: [],
    files: {
      "/bin/domain-agent": agent,
      "/domain-init": source("domain-init.sh"),
      ...options.files,
    },
  });
  const extra = join(dir, "extra");
  mkdirSync(join(extra, "dist"), { recursive: true });
  symlinkSync(join(projectDir, "dist/framepass"), join(extra, "dist/framepass"));
  for (const [at, lines] of modules.entries()) {
    writeFileSync(join(extra, `domain-modules.${at + 1}`), loadLines(initramfs, lines));
  }
  // The executable changes too often to be kept in the cache. Linux takes archives one after the other.
  const pack = `cd "${extra}" && find . | cpio --quiet -o -L -H newc -R 0:0`;
  await hostCommand([
    "sh",
    "-c",
    `set -e; { cat "${initramfs.path}"; ${pack}; } >"${dir}/ramdisk"`,
  ]);
  rmSync(extra, { recursive: true });
  copyFileSync(kernel.elf, join(dir, "vmlinux"));
}
