// Takes system calls away from this process for good: seccomp(2) with a filter program, for all threads.
import { errno, must, result } from "./errno.ts";
import { addressOf, isMusl, libc } from "./libc.ts";
import {
  AUDIT_ARCH_AARCH64,
  AUDIT_ARCH_X86_64,
  SECCOMP_FILTER_FLAG_TSYNC,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_PROCESS,
  SECCOMP_SET_MODE_FILTER,
  seccompData,
  sockFilter,
  sockFprog,
} from "./linux/seccomp.ts";
import { CLONE, CLONE3, deniedCalls, FCNTL, SECCOMP, type SystemCall } from "./system-calls.ts";

const PR_SET_NO_NEW_PRIVS = 38;

// linux/bpf_common.h: load a word of the data, compare it and skip instructions, answer.
const LOAD = 0x20; // BPF_LD | BPF_W | BPF_ABS
const IF_EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const IF_AT_LEAST = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const IF_BITS = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const ANSWER = 0x06; // BPF_RET | BPF_K

/** Numbers from here on are calls of the x32 interface, with other arguments. */
const X32_BIT = 0x4000_0000;
const CLONE_THREAD = 0x1_0000;
/** <asm-generic/fcntl.h>: F_SETOWN, F_SETSIG, F_SETOWN_EX. With them the kernel sends any signal to any process of the same user. */
const SIGNAL_COMMANDS = [8, 10, 15];

interface Instruction {
  readonly code: number;
  readonly k: number;
  /** Instructions to skip when the comparison is true, and false. */
  readonly yes?: number;
  readonly no?: number;
}

const { nr, arch, "args[0]": first, "args[1]": second } = seccompData.fields;
const load = ({ offset }: { readonly offset: number }): Instruction => ({ code: LOAD, k: offset });
const answer = (k: number): Instruction => ({ code: ANSWER, k });
const refuse = (number: number): Instruction => answer(SECCOMP_RET_ERRNO | number);

interface Architecture {
  readonly audit: number;
  readonly number: (call: SystemCall) => number | undefined;
}

const architectures: Partial<Record<NodeJS.Architecture, Architecture>> = {
  x64: { audit: AUDIT_ARCH_X86_64, number: ({ x64 }) => x64 },
  arm64: { audit: AUDIT_ARCH_AARCH64, number: ({ arm64 }) => arm64 },
};

/** Denies `deniedCalls`, new processes, and signals by fcntl. Denied calls fail with EPERM. Threads may still be started. */
function program({ audit, number }: Architecture): Instruction[] {
  const when = (call: SystemCall, then: readonly Instruction[]): Instruction[] => {
    const k = number(call);
    return k === undefined ? [] : [{ code: IF_EQUAL, k, no: then.length }, ...then];
  };
  const denied = deniedCalls.filter(({ neededByMusl }) => !(isMusl && neededByMusl));
  const allow = answer(SECCOMP_RET_ALLOW);
  const deny = refuse(errno.EPERM);
  // The low half of the first argument: both architectures are little-endian. Process ids and these flags fit.
  const unlessOwn = [load(first), { code: IF_EQUAL, k: process.pid, no: 1 }, allow, deny];
  const unlessThread = [load(first), { code: IF_BITS, k: CLONE_THREAD, no: 1 }, allow, deny];
  const unlessSignals = [
    load(second),
    ...SIGNAL_COMMANDS.map((k, i) => ({ code: IF_EQUAL, k, yes: SIGNAL_COMMANDS.length - i })),
    allow,
    deny,
  ];
  return [
    load(arch),
    { code: IF_EQUAL, k: audit, yes: 1 },
    answer(SECCOMP_RET_KILL_PROCESS),
    load(nr),
    { code: IF_AT_LEAST, k: X32_BIT, no: 1 },
    deny,
    ...denied.flatMap((call) => when(call, call.othersOnly ? unlessOwn : [deny])),
    ...when(CLONE, unlessThread),
    ...when(FCNTL, unlessSignals),
    ...when(CLONE3, [refuse(errno.ENOSYS)]),
    allow,
  ];
}

/** From now on no program that this process starts gets more rights: no_new_privs of prctl(2). Throws SysError. */
export function refuseNewPrivileges(): void {
  const r = libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  must(result(r), "prctl", "PR_SET_NO_NEW_PRIVS");
}

/**
 * Denies `deniedCalls` to all threads of this process for good. Needs `refuseNewPrivileges`. False: the kernel or the
 * architecture has no such filters. Throws SysError.
 */
export function denySystemCalls(): boolean {
  const architecture = architectures[process.arch];
  const seccomp = architecture?.number(SECCOMP);
  if (architecture === undefined || seccomp === undefined) return false;
  const instructions = program(architecture);
  const memory = new Uint8Array(new ArrayBuffer(instructions.length * sockFilter.size));
  for (const [i, { code, k, yes = 0, no = 0 }] of instructions.entries()) {
    const one = sockFilter.over(memory, i * sockFilter.size);
    one.code = code;
    one.jt = yes;
    one.jf = no;
    one.k = k;
  }
  const fprog = sockFprog.alloc();
  fprog.len = instructions.length;
  fprog.filter = addressOf(memory);
  const flags = SECCOMP_FILTER_FLAG_TSYNC;
  const at = fprog.$address;
  const r = result(libc.syscall(seccomp, SECCOMP_SET_MODE_FILTER, flags, at, 0, 0, 0));
  if (r === -errno.ENOSYS || r === -errno.EINVAL) return false; // a kernel without CONFIG_SECCOMP_FILTER
  // A thread that could not be changed: its id.
  if (r > 0) throw new Error(`seccomp: thread ${r} has another filter`);
  must(r, "seccomp", "filter");
  return true;
}
