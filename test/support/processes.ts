// Processes as /proc shows them: the children of one, and whether one is there.
import { readdirSync, readFileSync } from "node:fs";

/** Process ids of the children of a process. */
export function childrenOf(pid: number): number[] {
  const threads = readdirSync(`/proc/${pid}/task`);
  const lists = threads.map((tid) => childrenOfThread(`/proc/${pid}/task/${tid}/children`));
  return lists.flatMap((list) => list.split(" ").filter((word) => word !== "")).map(Number);
}

/** "" for a thread that has ended since it was listed. */
function childrenOfThread(file: string): string {
  return textOf(file) ?? "";
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined; // the thread or the process has ended
  }
}

/**
 * Whether a process runs; a dead one whose parent has not collected it does not. The first thread may end before the others, and
 * the last one closes the descriptors.
 */
export function isRunning(pid: number): boolean {
  const states = threadsOf(pid).map((tid) => textOf(`/proc/${pid}/task/${tid}/stat`));
  return states.some((stat) => stat !== undefined && !/\) [ZX]/.test(stat));
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
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
