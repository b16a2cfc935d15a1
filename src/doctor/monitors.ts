// Virtual machine monitors of this host, and whether they have the device that vhost-user-video serves.
import { type Finding, limited, ok } from "./finding.ts";

/** QEMU's generic vhost-user device: docs/vhost-user-video.md. */
const DEVICE = "vhost-user-test-device-pci";
/** The program and its Debian package, by architecture. */
const qemus: Readonly<Record<string, readonly [program: string, debianPackage: string]>> = {
  x64: ["qemu-system-x86_64", "qemu-system-x86"],
  arm64: ["qemu-system-aarch64", "qemu-system-arm"],
};
const LIMIT_MS = 10_000;

/** Runs a program and returns what it prints; undefined when there is none, or it fails. Tests have another. */
export type RunProgram = (command: readonly string[]) => string | undefined;

/** Runs it for `limitMs` at most, also when it ignores SIGTERM. */
export const runProgram = (command: readonly string[], limitMs = LIMIT_MS): string | undefined => {
  if (Bun.which(command[0] ?? "") === null) return undefined;
  const child = Bun.spawnSync([...command], {
    stdin: "ignore",
    stderr: "ignore",
    timeout: limitMs,
    killSignal: "SIGKILL",
  });
  return child.exitCode === 0 ? child.stdout.toString() : undefined;
};

export function qemu(
  run: RunProgram = (words) => runProgram(words),
  arch: string = process.arch,
  isThere: (name: string) => boolean = (name) => Bun.which(name) !== null,
): Finding {
  const [name, debianPackage] = qemus[arch] ?? ["qemu", "qemu-system"];
  const [version] = run([name, "--version"])?.split("\n") ?? [];
  if (version === undefined && isThere(name))
    return limited(`${name} --version fails: apt-get install --reinstall ${debianPackage}`);
  if (version === undefined) return limited(`no ${name} in PATH: apt-get install ${debianPackage}`);
  // The exit status is 0 also for an unknown device.
  if (run([name, "-device", `${DEVICE},help`])?.includes(`${DEVICE} options`) === true)
    return ok(version);
  return limited(
    `${version} has no ${DEVICE}, which vhost-user-video needs: install QEMU 11.1 (${debianPackage} of trixie-backports)`,
  );
}

/** Other monitors that can use vhost-user devices. */
export function others(run: RunProgram = (words) => runProgram(words)): Finding {
  const found = ["crosvm", "cloud-hypervisor"].flatMap((name) => {
    const [version] = run([name, name === "crosvm" ? "version" : "--version"])?.split("\n") ?? [];
    return version === undefined ? [] : [version];
  });
  return ok(found.length > 0 ? found.join(", ") : "no crosvm and no cloud-hypervisor in PATH");
}
