// Counts what this process holds: tests of owners compare the counts before and after.
import { readdirSync, readFileSync } from "node:fs";

/** Open descriptors of a process, without the one that reads the list. */
export function openDescriptors(pid: number | "self" = "self"): number {
  return readdirSync(`/proc/${pid}/fd`).length - (pid === "self" ? 1 : 0);
}

/** Mappings of this process whose name contains `name`. */
export function mappingsOf(name: string): number {
  const lines = readFileSync("/proc/self/maps", "utf8").split("\n");
  return lines.filter((line) => line.includes(name)).length;
}

/** Mappings of frames that a process has. */
export function mappedFrames(pid: number): number {
  const lines = readFileSync(`/proc/${pid}/maps`, "utf8").split("\n");
  return lines.filter((line) => /memfd:framepass|\/dmabuf:/.test(line)).length;
}

/** Runs `action` and says how many descriptors and mappings named `name` it left behind. */
export async function leftBehind(
  name: string,
  action: () => unknown,
): Promise<{ descriptors: number; mappings: number }> {
  const descriptors = openDescriptors();
  const mappings = mappingsOf(name);
  await action();
  return { descriptors: openDescriptors() - descriptors, mappings: mappingsOf(name) - mappings };
}

export const nothing = { descriptors: 0, mappings: 0 };
