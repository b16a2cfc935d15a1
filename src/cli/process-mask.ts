// Masks of /proc/self/status: signals and capabilities of this process. proc_pid_status(5)
import { readFileSync } from "node:fs";

/** Whether `mask` has `bit`, counted from 0. A signal is one bit below its number, a capability is at its number. */
export function hasBit(mask: "SigIgn" | "CapEff", bit: number): boolean {
  const status = readFileSync("/proc/self/status", "utf8");
  const [, digits = "0"] = new RegExp(`^${mask}:\\s*([0-9a-f]+)$`, "m").exec(status) ?? [];
  return ((BigInt(`0x${digits}`) >> BigInt(bit)) & 1n) === 1n;
}
