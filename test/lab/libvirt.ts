// libvirt without a daemon: its schema, and the QEMU command that it makes of a domain. Its driver is embedded in virsh, with all
// its files in one directory, and without root: nothing of the machine's own libvirt is touched, and no guest is started.
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureDebian } from "../../scripts/ensure.ts";
import { hostCommand } from "./debian.ts";

const NOBODY = 65534;

/** Installs libvirt's clients and its driver for QEMU; none of these packages starts libvirtd. */
export function ensureLibvirt(): void {
  ensureDebian([
    { package: "libvirt-clients", provides: "virsh" },
    { package: "libvirt-daemon-driver-qemu", provides: "virt-qemu-run" },
    { package: "libxml2-utils", provides: "xmllint" },
  ]);
}

/** A whole domain with the elements of `fragment`, on this host's own QEMU and without KVM, which a host may lack. */
export function wholeDomain(fragment: string): string {
  return fragment.replace(
    /<domain type='kvm'([^>]*)>/,
    (_, more: string) => `<domain type='qemu'${more}>
  <name>guest</name>
  <vcpu>2</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>`,
  );
}

/** The words of the QEMU command that libvirt runs for a domain, as a shell reads them. Throws when the schema or libvirt refuse it. */
export async function qemuWords(directory: string, domain: string): Promise<readonly string[]> {
  const xml = join(directory, "domain.xml");
  const root = join(directory, "libvirt");
  writeFileSync(xml, domain);
  mkdirSync(root, { recursive: true });
  await hostCommand(["virt-xml-validate", xml, "domain"]);
  const asUser: string[] = [];
  if (process.getuid?.() === 0) {
    chmodSync(directory, 0o755);
    chownSync(root, NOBODY, NOBODY);
    asUser.push("setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups");
  }
  const line = await hostCommand([
    ...[...asUser, "env", `HOME=${root}`, `XDG_RUNTIME_DIR=${root}`],
    ...["virsh", "-q", "-c", `qemu:///embed?root=${root}`],
    ...["domxml-to-native", "qemu-argv", "--xml", xml],
  ]);
  return await shellWords(line.trim());
}

/** The words that a shell makes of a line. */
export async function shellWords(line: string): Promise<readonly string[]> {
  return (await hostCommand(["bash", "-c", `printf '%s\\0' ${line}`])).split("\0").slice(0, -1);
}
