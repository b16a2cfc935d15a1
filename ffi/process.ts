// How this process ends with its parent and by signals: prctl(2), signal(2).
import { constants } from "node:os";
import { libc } from "./libc.ts";

const PR_SET_PDEATHSIG = 1;
const SIG_DFL = 0;

/** From now on the kernel kills this process when its parent ends. A sandbox may refuse that. */
export function dieWithParent(): void {
  libc.prctl(PR_SET_PDEATHSIG, constants.signals.SIGKILL, 0, 0, 0);
}

/**
 * Restores the kernel's action for faults of memory: the process ends by the signal, and its parent sees which. The runtime's
 * handler prints a report of many lines that blames the runtime.
 */
export function dieOfMemoryFaults(): void {
  const { SIGBUS, SIGSEGV } = constants.signals;
  for (const signal of [SIGBUS, SIGSEGV]) libc.signal(signal, SIG_DFL);
}
