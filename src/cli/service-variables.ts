// The variables with which a service manager starts a tool: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3). They are
// removed from the environment when the program starts, so that no process that it starts uses them.
import type { Explained } from "./tool-text.ts";

/** Variables of every tool that is a service. */
export const notifyVariables: readonly Explained[] = [
  {
    word: "NOTIFY_SOCKET",
    meaning: "socket of a service manager that wants to know when the tool is ready: sd_notify(3)",
  },
  {
    word: "WATCHDOG_USEC, WATCHDOG_PID",
    meaning: "the service manager wants a sign of life in this time: sd_watchdog_enabled(3)",
  },
];

/** Variables of the tools that listen. */
export const listenVariables: readonly Explained[] = [
  {
    word: "LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES",
    meaning: "a service manager has passed a listening socket, which is used: sd_listen_fds(3)",
  },
];

/** Sockets that were passed. */
export interface PassedSockets {
  /** LISTEN_FDS as it was found: a number in decimal, or anything else. */
  readonly count: string;
  /** LISTEN_FDNAMES: the names of the socket units. */
  readonly names: readonly string[];
}

export interface ServiceVariables {
  readonly notifySocket?: string;
  /** Longest time between two signs of life in ms. */
  readonly watchdogMs?: number;
  readonly passed?: PassedSockets;
}

/** Reads the variables and removes them from `env`. Those for another process are only removed. */
export function takeServiceVariables(
  env: Record<string, string | undefined>,
  pid: number,
): ServiceVariables {
  const take = (name: string) => {
    const value = env[name];
    delete env[name];
    return value === "" ? undefined : value;
  };
  const notifySocket = take("NOTIFY_SOCKET");
  const watchdogUs = Number(take("WATCHDOG_USEC"));
  const watchdogPid = take("WATCHDOG_PID");
  const count = take("LISTEN_FDS");
  const listenPid = take("LISTEN_PID");
  const names = take("LISTEN_FDNAMES")?.split(":") ?? [];
  take("LISTEN_PIDFDID");
  const watched = watchdogPid === undefined || watchdogPid === String(pid);
  return {
    ...(notifySocket !== undefined && { notifySocket }),
    ...(watched && watchdogUs > 0 && { watchdogMs: watchdogUs / 1000 }),
    ...(count !== undefined && listenPid === String(pid) && { passed: { count, names } }),
  };
}

/** What the service manager passed to this process. */
export const serviceVariables = takeServiceVariables(process.env, process.pid);
