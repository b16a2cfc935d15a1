// <linux/sched/types.h>, <linux/sched.h>
import { i32, n64, struct, u32 } from "../struct.ts";

export const SCHED_NORMAL = 0;
export const SCHED_FIFO = 1;
export const SCHED_RR = 2;
/** New threads and processes get the normal policy and slice. */
export const SCHED_FLAG_RESET_ON_FORK = 0x01;

/** The first version of the struct, which all kernels take. */
export const schedAttr = struct("struct sched_attr", 48, {
  size: u32(0),
  sched_policy: u32(4),
  sched_flags: n64(8),
  sched_nice: i32(16),
  sched_priority: u32(20),
  sched_runtime: n64(24),
});
