// Virtual machine monitors of this host, and whether they have the device that vhost-user-video serves.
import type { Context } from "../cli/tool.ts";
import { answerOf } from "../devices/answer.ts";
import { type Finding, limited, ok } from "./finding.ts";

/** QEMU's generic vhost-user device: docs/vhost-user-video.md. */
const DEVICE = "vhost-user-test-device-pci";
/** The program and its Debian package, by architecture. */
const qemus: Readonly<Record<string, readonly [program: string, debianPackage: string]>> = {
  x64: ["qemu-system-x86_64", "qemu-system-x86"],
  arm64: ["qemu-system-aarch64", "qemu-system-arm"],
};
const LIMIT_MS = 10_000;

/** What a program prints. */
export type Printed =
  | { readonly text: string }
  | { readonly reason: "absent" | "fails" | "gives no answer" };

/** Runs a program. Tests have another. */
export type RunProgram = (command: readonly string[]) => Promise<Printed>;

/** Runs programs for LIMIT_MS at most, and until the tool is stopped. */
export const programs =
  ({ loop, signal }: Context, limitMs = LIMIT_MS): RunProgram =>
  async (command) => {
    if (Bun.which(command[0] ?? "") === null) return { reason: "absent" };
    try {
      const answer = await answerOf(loop, command, { limitMs }, signal);
      if (answer === undefined) return { reason: "gives no answer" };
      return answer.status === 0 ? answer : { reason: "fails" };
    } catch (error) {
      if (loop.failed) throw error;
      return { reason: "fails" }; // it cannot be started
    }
  };

export async function qemu(run: RunProgram, arch: string = process.arch): Promise<Finding> {
  const [name, debianPackage] = qemus[arch] ?? ["qemu", "qemu-system"];
  const printed = await run([name, "--version"]);
  if ("reason" in printed) {
    if (printed.reason === "absent")
      return limited(`no ${name} in PATH: apt-get install ${debianPackage}`);
    return limited(
      `${name} --version ${printed.reason}: apt-get install --reinstall ${debianPackage}`,
    );
  }
  const [version = ""] = printed.text.split("\n");
  // The exit status is 0 also for an unknown device.
  const device = await run([name, "-device", `${DEVICE},help`]);
  if ("text" in device && device.text.includes(`${DEVICE} options`)) return ok(version);
  return limited(
    `${version} has no ${DEVICE}, which vhost-user-video needs: install QEMU 11.1 (${debianPackage} of trixie-backports)`,
  );
}

/** Other monitors that can use vhost-user devices. */
export async function others(run: RunProgram): Promise<Finding> {
  const commands = [
    ["crosvm", "version"],
    ["cloud-hypervisor", "--version"],
  ];
  const found = await Promise.all(
    commands.map(async (command) => {
      const printed = await run(command);
      if ("text" in printed) return printed.text.split("\n")[0] ?? "";
      return printed.reason === "absent" ? "" : `${command.join(" ")} ${printed.reason}`;
    }),
  );
  const named = found.filter((text) => text !== "");
  return ok(named.length > 0 ? named.join(", ") : "no crosvm and no cloud-hypervisor in PATH");
}
