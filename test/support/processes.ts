// Processes as /proc shows them: the children of one, and whether one is there.
import { existsSync, readdirSync, readFileSync } from "node:fs";

/** Process ids of the children of a process. */
export function childrenOf(pid: number): number[] {
  const threads = readdirSync(`/proc/${pid}/task`);
  const lists = threads.map((tid) => childrenOfThread(`/proc/${pid}/task/${tid}/children`));
  return lists.flatMap((list) => list.split(" ").filter((word) => word !== "")).map(Number);
}

/** "" for a thread that has ended since it was listed. */
function childrenOfThread(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** Whether a process runs; a dead one whose parent has not collected it does not. */
export function isRunning(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  return !/\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
}

/** A socket that listens has this flag in /proc/net/unix: __SO_ACCEPTCON of <linux/net.h>. */
const ACCEPTS = 0x1_0000;

/** Whether a Unix socket listens at `path`. The path is there before, when connections are still refused. */
export function listensAt(path: string): boolean {
  return readFileSync("/proc/net/unix", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .some(
      ([, , , flags = "0", , , , at]) => at === path && (Number.parseInt(flags, 16) & ACCEPTS) > 0,
    );
}

/**
 * Milliseconds that the first thread of a process has waited for a processor: the second number of /proc/PID/schedstat
 * (Documentation/scheduler/sched-stats.rst). It grows when other programs use the machine.
 */
export function waitedForProcessorMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[1]) / 1e6;
}

/** How often the first thread of a process has waited: for descriptors, timers or another thread. */
export function waitsOf(pid: number): number {
  const [, waits] =
    /^voluntary_ctxt_switches:\s*(\d+)/m.exec(
      readFileSync(`/proc/${pid}/task/${pid}/status`, "utf8"),
    ) ?? [];
  return Number(waits);
}
