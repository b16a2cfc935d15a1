// <linux/seccomp.h>, <linux/filter.h>, <linux/audit.h>
import { n64, struct, u8, u16, u32 } from "../struct.ts";

export const SECCOMP_SET_MODE_FILTER = 1;
export const SECCOMP_FILTER_FLAG_TSYNC = 1;
export const SECCOMP_RET_KILL_PROCESS = 0x8000_0000;
export const SECCOMP_RET_ERRNO = 0x0005_0000;
export const SECCOMP_RET_ALLOW = 0x7fff_0000;

export const AUDIT_ARCH_X86_64 = 0xc000_003e;
export const AUDIT_ARCH_AARCH64 = 0xc000_00b7;

/** The data that a filter reads. */
export const seccompData = struct("struct seccomp_data", 64, {
  nr: u32(0),
  arch: u32(4),
  "args[0]": n64(16),
  "args[1]": n64(24),
});
/** An instruction. */
export const sockFilter = struct("struct sock_filter", 8, {
  code: u16(0),
  jt: u8(2),
  jf: u8(3),
  k: u32(4),
});
export const sockFprog = struct("struct sock_fprog", 16, { len: u16(0), filter: n64(8) });
