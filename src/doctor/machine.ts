// The machine itself: processor, C library, kernel, groups and limits of this process.
import { release } from "node:os";
import { type Finding, groupName, limited, missing, ok, readIf } from "./finding.ts";

/** Files of the machine; tests have others. */
export interface Machine {
  readonly cpuinfo: string;
  readonly limits: string;
  /** The version of glibc; undefined with another C library. */
  readonly glibc: string | undefined;
  readonly arch: string;
}

/** The machine that this process runs on. */
export function thisMachine(): Machine {
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return {
    cpuinfo: readIf("/proc/cpuinfo"),
    limits: readIf("/proc/self/limits"),
    glibc: header?.glibcVersionRuntime,
    arch: process.arch,
  };
}

/** Extensions that make tools faster, by the names in /proc/cpuinfo. */
const faster = ["sse4_2", "avx2", "avx512f", "asimd", "sve"];

export function processor({ cpuinfo, arch }: Machine): Finding {
  const words = new Set(/^(?:flags|Features)\s*:(.*)$/m.exec(cpuinfo)?.[1]?.split(" ") ?? []);
  const has = faster.filter((name) => words.has(name));
  const model = /^model name\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? arch;
  const text = `${model}: ${has.join(", ")}`;
  if (arch !== "x64") return ok(text);
  if (!words.has("sse4_2")) return missing(`${model} has no SSE4.2; QEMU: -cpu host or -cpu max`);
  return words.has("avx2") ? ok(text) : limited(`${text}, no AVX2: slower; QEMU: -cpu host`);
}

const OLDEST = "2.31";

export function cLibrary({ glibc }: Machine): Finding {
  if (glibc === undefined) return ok("musl");
  const isOld = glibc.localeCompare(OLDEST, "en", { numeric: true }) < 0;
  if (!isOld) return ok(`glibc ${glibc}`);
  return limited(`glibc ${glibc} is older than ${OLDEST}, and was not tried: use the musl build`);
}

export const kernel = (): Finding => ok(`Linux ${release()}`);

export function groups(): Finding {
  const ids = [...new Set([process.getgid?.() ?? 0, ...(process.getgroups?.() ?? [])])];
  const names = ids.map((id) => groupName(id)).join(", ");
  return ok(`user ${process.getuid?.()}, groups ${names}`);
}

/** A receiver with several outputs, or a daemon with many front-ends, needs some dozens. */
const FEW_FILES = 256;

export function openFiles({ limits }: Machine): Finding {
  const soft = softLimit(limits, "Max open files");
  if (soft === "unlimited" || Number(soft) >= FEW_FILES) return ok(soft);
  return limited(`${soft}: ulimit -n 1024, or LimitNOFILE=1024 in a systemd unit`);
}

/** Memory that the kernel keeps in place for user pointers counts against it. */
const LITTLE_MEMORY = 8 << 20;

export function lockedMemory({ limits }: Machine): Finding {
  const soft = softLimit(limits, "Max locked memory");
  if (soft === "unlimited" || Number(soft) >= LITTLE_MEMORY) return ok(soft);
  return limited(
    `${soft} bytes: ulimit -l 65536, or LimitMEMLOCK=64M in a systemd unit, if buffers are refused`,
  );
}

/** Of --realtime. */
export function realTime(refused: readonly string[]): Finding {
  if (refused.length === 0) return ok("SCHED_FIFO and locked memory are permitted");
  return limited(`--realtime goes on without ${refused.join(" and without ")}`);
}

const softLimit = (limits: string, name: string): string =>
  new RegExp(`^${name} +(\\S+)`, "m").exec(limits)?.[1] ?? "unlimited";
