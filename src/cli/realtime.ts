// When the thread that moves frames gets a processor: short time slices for all tools, --realtime where it is wanted and permitted.
import { SysError } from "../../ffi/errno.ts";
import { SCHED_FIFO, SCHED_NORMAL, SCHED_RR } from "../../ffi/linux/sched.ts";
import {
  limitRealTime,
  lockLimit,
  lockMemory,
  scheduleNormally,
  scheduleRealTime,
  scheduling,
} from "../../ffi/scheduling.ts";
import { inGroup } from "./groups.ts";
import { log } from "./log.ts";
import type { Options } from "./options.ts";
import { LISTENER } from "./own-program.ts";
import { hasBit } from "./process-mask.ts";

/** A row of every tool that moves frames. */
export const realtimeOptions = inGroup("general", {
  realtime: {
    type: "flag",
    help: "run before other programs (SCHED_FIFO) and keep memory resident, as far as that is permitted",
  },
} as const satisfies Options);

/** The shortest that the kernel has. A frame is moved in less than 1 ms, so that a longer one only makes it wait. */
const SLICE_NS = 100_000;
/** As JACK: above all programs without a real-time policy, below sound servers, and below interrupt threads, which have 50. */
export const PRIORITY = 10;
/** A thread that moves frames waits for the next one. One that runs for so long without a pause keeps others from the processor. */
const LONGEST_RUN_US = 2_000_000;
/** Then it does not even run handlers of signals: the kernel ends the process. */
const STUCK_US = 10_000_000;
/** With this capability the limit does not count. <linux/capability.h> */
const CAP_IPC_LOCK = 14;

/** What permits it: in a shell, and in a unit of systemd. */
const permits = {
  realTime: `ulimit -r ${PRIORITY}, or LimitRTPRIO=${PRIORITY} and RestrictRealtime=no in a systemd unit`,
  memory: "ulimit -l unlimited, or LimitMEMLOCK=infinity in a systemd unit",
} as const;

/**
 * Schedules this thread, which is the one that moves frames. What is not permitted is warned of in one line. A policy and a nice
 * value that the tool was started with (chrt, nice, CPUSchedulingPolicy=) stay.
 */
export function scheduleFrames(realtime: boolean, longestRunUs = LONGEST_RUN_US): void {
  const given = scheduling();
  if (!realtime) {
    scheduleBriefly(given);
    return;
  }
  const missing = [startRealTime(given, longestRunUs), lockAll()].filter(
    (text) => text !== undefined,
  );
  // The listener has warned, and the process of each front-end would again.
  if (missing.length > 0 && process.env[LISTENER] === undefined)
    log.warn(`--realtime: going on without ${missing.join(" and without ")}`);
}

/** The nice value of a thread with short time slices; undefined: it has a policy that stays. */
let niceValue: number | undefined;

function scheduleBriefly(given: Given): void {
  if (given?.policy !== SCHED_NORMAL) return;
  niceValue = given.nice;
  useShortSlices(true);
}

/** This thread has SCHED_FIFO by --realtime, or would have if frames came one by one. */
let realTime = false;

/**
 * Schedules for frames that come one by one (`on`), with short time slices or in real time; or as every program. Where frames never
 * end, both sides interrupt each other more often, and fewer frames get through. In real time they would take turns without an end,
 * and nothing else would run.
 */
export function useShortSlices(on: boolean): void {
  if (realTime && on) realTime = scheduleRealTime(PRIORITY) === 0;
  else if (niceValue !== undefined) scheduleNormally(on ? SLICE_NS : 0, niceValue);
}

/** What is missing; undefined: the policy is set. */
function startRealTime(given: Given, longestRunUs: number): string | undefined {
  if (isRealTime(given)) return undefined;
  const failed = tryRealTime();
  if (failed !== undefined) {
    scheduleBriefly(given);
    return failed;
  }
  realTime = true;
  niceValue = given?.nice ?? 0;
  process.once("SIGXCPU", () => {
    realTime = false;
    useShortSlices(true);
    log.warn(
      `--realtime: going on without real-time scheduling: ${longestRunUs / 1e6} s without a pause, and other programs need the processor`,
    );
  });
  limitRealTime(longestRunUs, STUCK_US);
  return undefined;
}

/** What --realtime would go on without here. Afterwards this thread is scheduled as before. */
export function realtimeRefused(): string[] {
  const given = scheduling();
  const refused = isRealTime(given) ? undefined : tryRealTime();
  if (refused === undefined && !isRealTime(given)) scheduleNormally(0, given?.nice ?? 0);
  return [refused, lockRefused()].filter((text) => text !== undefined);
}

type Given = ReturnType<typeof scheduling>;

const isRealTime = (given: Given) => given?.policy === SCHED_FIFO || given?.policy === SCHED_RR;

/** Sets the real-time policy; what is missing where that is not permitted. */
function tryRealTime(): string | undefined {
  const r = scheduleRealTime(PRIORITY);
  if (r === 0) return undefined;
  const { message } = new SysError("sched_setattr", "SCHED_FIFO", -r);
  return `real-time scheduling (${message}; ${permits.realTime})`;
}

/**
 * Locks all memory. Not with a limit, even if it is large enough now: it counts addresses, of which the runtime reserves gigabytes,
 * and memory that is needed later would be refused.
 */
function lockAll(): string | undefined {
  const refused = lockRefused();
  if (refused !== undefined) return refused;
  const r = lockMemory();
  if (r === 0) return undefined;
  return `locked memory (${new SysError("mlockall", "", -r).message}; ${permits.memory})`;
}

/** Why memory cannot be locked; undefined: it can. */
function lockRefused(): string | undefined {
  const limit = lockLimit();
  if (limit === undefined || hasBit("CapEff", CAP_IPC_LOCK)) return undefined;
  return `locked memory (${limit} bytes are permitted; ${permits.memory})`;
}
