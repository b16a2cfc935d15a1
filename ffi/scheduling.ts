// How the kernel gives processor time to the thread that calls, which is the one that moves frames: sched_setattr(2). And memory
// that stays resident: mlockall(2), setrlimit(2).
import { must, result } from "./errno.ts";
import { libc } from "./libc.ts";
import { MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT } from "./linux/mman.ts";
import { SCHED_FIFO, SCHED_FLAG_RESET_ON_FORK, SCHED_NORMAL, schedAttr } from "./linux/sched.ts";
import { n64, struct } from "./struct.ts";
import { SCHED_GETATTR, SCHED_SETATTR, type SystemCall } from "./system-calls.ts";

/** <sys/resource.h>; 64-bit systems have no other struct. */
const rlimit = struct("struct rlimit", 16, { rlim_cur: n64(0), rlim_max: n64(8) });
const RLIMIT_MEMLOCK = 8;
const RLIMIT_RTTIME = 15;
/** RLIM_INFINITY is 2^64 - 1, which `n64` rounds up. */
const INFINITY = 2 ** 64;

const numberOf = (call: SystemCall) => (process.arch === "arm64" ? call.arm64 : call.x64);

/** The policy of this thread, and its nice value, which counts for SCHED_NORMAL only. Undefined: a sandbox denies the call. */
export function scheduling(): { readonly policy: number; readonly nice: number } | undefined {
  const attr = schedAttr.alloc();
  const r = libc.syscall(numberOf(SCHED_GETATTR) ?? -1, 0, attr.$address, schedAttr.size, 0, 0, 0);
  return result(r) < 0 ? undefined : { policy: attr.sched_policy, nice: attr.sched_nice };
}

/** Threads and processes that this thread starts later are scheduled as usual. Answers 0 or a negative errno. */
function schedule(policy: number, { priority = 0, sliceNs = 0, nice = 0 }): number {
  const attr = schedAttr.alloc();
  attr.size = schedAttr.size;
  attr.sched_policy = policy;
  attr.sched_flags = SCHED_FLAG_RESET_ON_FORK;
  attr.sched_nice = nice;
  attr.sched_priority = priority;
  attr.sched_runtime = sliceNs;
  return result(libc.syscall(numberOf(SCHED_SETATTR) ?? -1, 0, attr.$address, 0, 0, 0, 0));
}

/**
 * Normal scheduling with time slices of `sliceNs`, 0.1 to 100 ms or 0 for the usual ones, and the nice value `nice`. A thread whose
 * slice is shorter than that of the running thread runs as soon as it wakes, and gets no more processor time than before. No permission
 * is needed for a nice value that is not below the present one. Kernels before 6.12 ignore the slice. Answers 0 or a negative errno.
 */
export const scheduleNormally = (sliceNs: number, nice: number): number =>
  schedule(SCHED_NORMAL, { sliceNs, nice });

/** SCHED_FIFO: only threads of a higher priority, or interrupts, run before it. Answers 0 or a negative errno. */
export const scheduleRealTime = (priority: number): number => schedule(SCHED_FIFO, { priority });

function limitOf(resource: number) {
  const limit = rlimit.alloc();
  must(result(libc.getrlimit(resource, limit.$address)), "getrlimit", `${resource}`);
  return limit;
}

/**
 * Limits the time that a real-time thread may run without waiting once. After `softUs` the kernel sends SIGXCPU, then each second;
 * after `hardUs` it kills the process. Lower limits stay. Throws SysError.
 */
export function limitRealTime(softUs: number, hardUs: number): void {
  const limit = limitOf(RLIMIT_RTTIME);
  limit.rlim_max = Math.min(limit.rlim_max, hardUs);
  limit.rlim_cur = Math.min(limit.rlim_cur, softUs, limit.rlim_max);
  must(result(libc.setrlimit(RLIMIT_RTTIME, limit.$address)), "setrlimit", "RLIMIT_RTTIME");
}

/** Bytes that this process may lock in memory; undefined: no limit. CAP_IPC_LOCK removes it, too. */
export function lockLimit(): number | undefined {
  const { rlim_cur: bytes } = limitOf(RLIMIT_MEMLOCK);
  return bytes >= INFINITY ? undefined : bytes;
}

/** Keeps all memory of this process resident, once it was used. Answers 0 or a negative errno. */
export const lockMemory = (): number =>
  result(libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT));
