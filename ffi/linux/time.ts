// <time.h>, <sys/timerfd.h>
import { n64, struct } from "../struct.ts";

export const CLOCK_MONOTONIC = 1;
export const CLOCK_BOOTTIME = 7;

export const TFD_TIMER_ABSTIME = 1;

export const timespec = struct("struct timespec", 16, { tv_sec: n64(0), tv_nsec: n64(8) });
export const itimerspec = struct("struct itimerspec", 32, {
  "it_interval.tv_sec": n64(0),
  "it_interval.tv_nsec": n64(8),
  "it_value.tv_sec": n64(16),
  "it_value.tv_nsec": n64(24),
});
