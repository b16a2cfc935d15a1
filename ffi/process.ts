// How this process ends with its parent and by signals: prctl(2), signal(2).
import { constants } from "node:os";
import { must, result } from "./errno.ts";
import { libc } from "./libc.ts";
import { n64, struct } from "./struct.ts";

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

/** <signal.h> of both C libraries: the handler is first, the whole struct has 152 bytes. */
const sigaction = struct("struct sigaction", 152, { sa_handler: n64(0) });
const SIG_IGN = 1;

/**
 * Runs `call`, which may wait for ever inside a library. The signals that stop a tool end the process then, by the kernel's
 * own action: the handlers of the runtime run only after the call.
 */
export function endedBySignals<T>(call: () => T): T {
  using restore = new DisposableStack();
  const { SIGHUP, SIGINT, SIGTERM } = constants.signals;
  for (const signal of [SIGHUP, SIGINT, SIGTERM]) {
    const before = sigaction.alloc();
    if (libc.sigaction(signal, 0, before.$address) !== 0) continue;
    if (before.sa_handler === SIG_DFL || before.sa_handler === SIG_IGN) continue;
    libc.signal(signal, SIG_DFL);
    restore.defer(() => libc.sigaction(signal, before.$address, 0));
  }
  return call();
}

/** <sys/resource.h>: what a process may use. */
export const limits = { cpuSeconds: 0, fileBytes: 1, coreBytes: 4 } as const;

const rlimit = struct("struct rlimit", 16, { rlim_cur: n64(0), rlim_max: n64(8) });

/** Limits what this process may use from now on; it cannot be raised again. Throws SysError. */
export function limitUse(what: keyof typeof limits, value: number): void {
  const both = rlimit.alloc();
  both.rlim_cur = value;
  both.rlim_max = value;
  must(result(libc.setrlimit(limits[what], both.$address)), "setrlimit", what);
}
