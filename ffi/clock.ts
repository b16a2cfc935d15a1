// CLOCK_MONOTONIC, the clock of V4L2 timestamps, and CLOCK_BOOTTIME, which also runs while the host is suspended.
import { libc } from "./libc.ts";
import { CLOCK_BOOTTIME, CLOCK_MONOTONIC, timespec } from "./linux/time.ts";

const now = timespec.alloc();
const nowAt = now.$address;

/** Microseconds of CLOCK_MONOTONIC, comparable with V4L2 timestamps of this host. */
export function monotonicUs(): number {
  libc.clock_gettime(CLOCK_MONOTONIC, nowAt);
  return now.tv_sec * 1e6 + Math.floor(now.tv_nsec / 1000);
}

/** Nanoseconds of CLOCK_MONOTONIC, exact in the first 104 days after the boot, then to a few nanoseconds. */
export function monotonicNs(): number {
  libc.clock_gettime(CLOCK_MONOTONIC, nowAt);
  return now.tv_sec * 1e9 + now.tv_nsec;
}

/** Milliseconds of CLOCK_BOOTTIME. */
export function bootMs(): number {
  libc.clock_gettime(CLOCK_BOOTTIME, nowAt);
  return now.tv_sec * 1000 + now.tv_nsec / 1e6;
}
