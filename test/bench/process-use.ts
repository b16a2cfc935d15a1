// What processes use, as the kernel counts it. proc_pid_stat(5), proc_pid_status(5)
import { readFileSync } from "node:fs";

/** Of processes, together. */
export interface Use {
  readonly cpuSeconds: number;
  /** Resident memory, MiB: all, what is the process's own, and what a file such as the executable backs. */
  readonly rssMib: number;
  readonly anonMib: number;
  readonly fileMib: number;
}

const TICKS_PER_SECOND = 100; // USER_HZ

export function useOf(pids: readonly number[]): Use {
  let [cpuSeconds, rssMib, anonMib, fileMib] = [0, 0, 0, 0];
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    cpuSeconds += (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const mib = (name: string) =>
      Number(new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(status)?.[1]) / 1024;
    rssMib += mib("VmRSS");
    anonMib += mib("RssAnon");
    fileMib += mib("RssFile");
  }
  return { cpuSeconds, rssMib, anonMib, fileMib };
}
