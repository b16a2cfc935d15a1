// Which programs have a device open: the descriptors in /proc that this user may read. proc(5).
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { oneLine } from "../cli/log.ts";

export interface Holder {
  readonly pid: number;
  /** The program's name, of 15 characters at most. */
  readonly program: string;
}

export interface Holders {
  /** By the path of the node. */
  readonly of: ReadonlyMap<string, readonly Holder[]>;
  /** Some processes could not be looked at: other users' while not root. */
  readonly partial: boolean;
}

/** Answers undefined where a process has ended, or may not be looked at. */
function attempt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}

/** The programs that have one of `nodes` open, this process left out. */
export function findHolders(nodes: readonly string[], proc = "/proc"): Holders {
  const byDevice = new Map<number, string>();
  for (const node of nodes) {
    const stat = attempt(() => statSync(node));
    if (stat?.isCharacterDevice()) byDevice.set(stat.rdev, node);
  }
  const found = new Map<string, Holder[]>();
  let partial = false;
  for (const pid of byDevice.size === 0 ? [] : processes(proc)) {
    const directory = `${proc}/${pid}/fd`;
    const fds = attempt(() => readdirSync(directory));
    partial ||= fds === undefined && attempt(() => statSync(`${proc}/${pid}`)) !== undefined;
    const held = new Set(fds?.flatMap((fd) => byDevice.get(deviceOf(`${directory}/${fd}`)) ?? []));
    if (held.size === 0) continue;
    const name = attempt(() => readFileSync(`${proc}/${pid}/comm`, "utf8")) ?? "?";
    const holder = { pid, program: oneLine(name.replace(/\n$/, "")) };
    for (const node of held) found.set(node, [...(found.get(node) ?? []), holder]);
  }
  return { of: found, partial };
}

const processes = (proc: string) =>
  (attempt(() => readdirSync(proc)) ?? [])
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid)
    .sort((a, b) => a - b);

/** The number of the device that a descriptor is open on; -1 for anything else. Sockets and pipes are not looked at. */
function deviceOf(fd: string): number {
  const target = attempt(() => readlinkSync(fd));
  if (target?.startsWith("/") !== true) return -1;
  const stat = attempt(() => statSync(fd));
  return stat?.isCharacterDevice() ? stat.rdev : -1;
}
