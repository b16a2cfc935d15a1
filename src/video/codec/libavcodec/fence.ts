// What a process gives up before it reads the first byte of a guest: files, the network, other processes, new programs. A flaw
// in a decoder then reaches the stream of that guest and nothing else.
import { getPriority, setPriority } from "node:os";
import { limitUse } from "../../../../ffi/process.ts";
import { denySystemCalls, refuseNewPrivileges } from "../../../../ffi/seccomp.ts";

/** Decoders wait while the process that serves the rings has work. */
const NICENESS = 5;

/**
 * Enters the fence, for good and for all threads. Everything that is needed of files must be loaded and open before. The
 * descriptors that are open stay usable; threads may be started. False: the kernel has no filters for system calls, and only
 * the limits hold. Throws SysError.
 */
export function enterFence(): boolean {
  // Less priority than now may be taken away from a process only: a daemon may run with less already.
  setPriority(Math.max(NICENESS, getPriority()));
  limitUse("fileBytes", 0);
  limitUse("coreBytes", 0); // a dump would have pictures of the guest
  refuseNewPrivileges();
  return denySystemCalls();
}
