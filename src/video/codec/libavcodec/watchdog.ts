// Watches the process of a decoder: memory, and calls that do not return. A call is judged by the processor time that it has used,
// because on a host that was suspended or is overloaded a call can last long although the decoder works.
import { readFileSync } from "node:fs";
import { pageSize } from "../../../../ffi/mapping.ts";
import type { DeviceLoop } from "../../../virtio/virtio-device.ts";

const PERIOD_MS = 500;
/** Processor time that a call of the decoder may use. */
const CALL_LIMIT_MS = 2000;
/** Processor time that its start may use: the runtime has threads of its own then. */
const START_LIMIT_MS = 5000;
/** A process that has work uses at least this share of the processor, or it waits for something. */
const BUSY_SHARE = 0.05;
/** How long a process may start, or have work and room for pictures, and do nothing. */
const IDLE_LIMIT_MS = 20_000;
/** USER_HZ: the unit of the times in /proc/PID/stat. The same on every architecture that Bun runs on. */
const TICKS_PER_MS = 100 / 1000;
/** The fields of /proc/PID/stat after the name that hold the user and the system time. */
const TIMES = { user: 11, system: 12 } as const;

export interface Watched {
  readonly pid: number;
  /** Most bytes that may be resident. */
  readonly memoryLimit: number;
  /** Threads that decode: as many can use the processor in one call. */
  readonly threads: number;
  /** A number that the process changes with every call. */
  progress(): number;
  /**
   * What the process has to do: nothing, start, something that waits for buffers of the guest, or something now. "paused":
   * `over` must not be called.
   */
  work(): "none" | "starting" | "blocked" | "ready" | "paused";
  /** Called once, when a limit was passed. */
  over(reason: string): void;
}

export class Watchdog implements Disposable {
  readonly #watched: Watched;
  readonly #timer: Disposable;
  #progress = -1;
  #starting = true;
  #cpuMs = 0;
  #busyMs = 0;
  #idleMs = 0;

  constructor(loop: DeviceLoop, watched: Watched) {
    this.#watched = watched;
    this.#timer = loop.every(PERIOD_MS, () => this.#look());
  }

  #look(): void {
    const { pid, threads, memoryLimit } = this.#watched;
    const work = this.#watched.work();
    if (work === "none" || work === "paused") this.#progress = -1;
    if (work === "paused") return;
    const resident = residentBytes(pid);
    if (resident > memoryLimit) {
      this.#over(`uses ${megabytes(resident)} MB, and the limit is ${megabytes(memoryLimit)} MB`);
      return;
    }
    if (work === "none") return;
    const cpuMs = cpuTimeMs(pid);
    const usedMs = cpuMs - this.#cpuMs;
    this.#cpuMs = cpuMs;
    const progress = this.#watched.progress();
    const started = this.#starting && work !== "starting";
    this.#starting = work === "starting";
    if (progress !== this.#progress || started) {
      this.#progress = progress;
      this.#busyMs = 0;
      this.#idleMs = 0;
      return;
    }
    if (usedMs >= PERIOD_MS * BUSY_SHARE) this.#busyMs += usedMs;
    if (work !== "blocked") this.#idleMs = usedMs > 0 ? 0 : this.#idleMs + PERIOD_MS;
    if (this.#starting && this.#busyMs >= START_LIMIT_MS) this.#over("did not start");
    else if (!this.#starting && this.#busyMs >= CALL_LIMIT_MS * threads)
      this.#over(`did not return from a call within ${CALL_LIMIT_MS / 1000} s of processor time`);
    else if (this.#idleMs >= IDLE_LIMIT_MS)
      this.#over(`has done nothing for ${IDLE_LIMIT_MS / 1000} s`);
  }

  #over(reason: string): void {
    this[Symbol.dispose]();
    this.#watched.over(reason);
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }
}

const megabytes = (bytes: number) => Math.round(bytes / 1e6);

/** Bytes of a process that are in memory; 0 when it has ended. */
export function residentBytes(pid: number): number {
  const [, resident = "0"] = textOf(`/proc/${pid}/statm`).split(" ");
  return Number(resident) * pageSize;
}

/** Processor time that a process has used, in ms; 0 when it has ended. */
export function cpuTimeMs(pid: number): number {
  const text = textOf(`/proc/${pid}/stat`);
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" "); // the name may contain anything
  const ticks = Number(fields[TIMES.user] ?? 0) + Number(fields[TIMES.system] ?? 0);
  return ticks / TICKS_PER_MS;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it has ended
  }
}
