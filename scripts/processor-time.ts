// Processor time, which says what a step costs also when other work runs beside it.
import { readFileSync } from "node:fs";

/** Clock ticks of a second in /proc (USER_HZ): 100 on all targets. */
const TICKS = 100;

/** Seconds that this process has computed, with its children that have ended and were waited for. proc(5), /proc/pid/stat. */
export function processorSeconds(stat = readFileSync("/proc/self/stat", "utf8")): number {
  // Field 2 is the name in parentheses, which may have blanks. Fields 14 to 17: utime, stime, cutime, cstime.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS;
}

/** "12.3 s, 20.1 s of processor time". */
export const timesText = (seconds: number, processor: number): string =>
  `${seconds.toFixed(1)} s, ${processor.toFixed(1)} s of processor time`;
