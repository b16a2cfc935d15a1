// The system calls that a process without files and without a network does not need, with their numbers on both
// architectures: <asm/unistd.h> of x86-64, <asm-generic/unistd.h> for arm64.

export interface SystemCall {
  readonly name: string;
  /** Absent where the architecture does not have the call. */
  readonly x64?: number;
  readonly arm64?: number;
  /** Denied only when the first argument is not this process. The call is about a process. */
  readonly othersOnly?: true;
  /** musl makes this call, and the runtime needs it to stop its threads. */
  readonly neededByMusl?: true;
}

const row = (name: string, x64: number | undefined, arm64: number | undefined): SystemCall => ({
  name,
  ...(x64 !== undefined && { x64 }),
  ...(arm64 !== undefined && { arm64 }),
});
const others = (name: string, x64: number, arm64: number): SystemCall => ({
  ...row(name, x64, arm64),
  othersOnly: true,
});

export const SECCOMP = row("seccomp", 317, 277);
/** The C library has no function for it everywhere: musl's sched_setscheduler does nothing, and neither has sched_setattr. */
export const SCHED_SETATTR = row("sched_setattr", 314, 274);
export const SCHED_GETATTR = row("sched_getattr", 315, 275);
/** Starts threads and processes: its first argument says which. */
export const CLONE = row("clone", 56, 220);
/** The same with its flags in memory, where a filter cannot read them. The C library uses `clone` where it is missing. */
export const CLONE3 = row("clone3", 435, 435);
/** Works on open files, and can also make the kernel send signals: its second argument says which. */
export const FCNTL = row("fcntl", 72, 25);

export const deniedCalls: readonly SystemCall[] = [
  // Files: opening, naming, changing.
  row("open", 2, undefined),
  row("openat", 257, 56),
  row("openat2", 437, 437),
  row("creat", 85, undefined),
  row("open_by_handle_at", 304, 265),
  row("unlink", 87, undefined),
  row("unlinkat", 263, 35),
  row("rename", 82, undefined),
  row("renameat", 264, 38),
  row("renameat2", 316, 276),
  row("link", 86, undefined),
  row("linkat", 265, 37),
  row("symlink", 88, undefined),
  row("symlinkat", 266, 36),
  row("mkdir", 83, undefined),
  row("mkdirat", 258, 34),
  row("rmdir", 84, undefined),
  row("mknod", 133, undefined),
  row("mknodat", 259, 33),
  row("truncate", 76, 45),
  row("chmod", 90, undefined),
  row("fchmod", 91, 52),
  row("fchmodat", 268, 53),
  row("fchmodat2", 452, 452),
  row("chown", 92, undefined),
  row("fchown", 93, 55),
  row("lchown", 94, undefined),
  row("fchownat", 260, 54),
  row("utime", 132, undefined),
  row("utimes", 235, undefined),
  row("futimesat", 261, undefined),
  row("utimensat", 280, 88),
  row("setxattr", 188, 5),
  row("lsetxattr", 189, 6),
  row("fsetxattr", 190, 7),
  row("removexattr", 197, 14),
  row("lremovexattr", 198, 15),
  row("fremovexattr", 199, 16),
  row("setxattrat", 463, 463),
  row("removexattrat", 466, 466),
  row("file_setattr", 469, 469),
  row("chdir", 80, 49),
  row("fchdir", 81, 50),
  row("chroot", 161, 51),
  row("inotify_init", 253, undefined),
  row("inotify_init1", 294, 26),
  row("fanotify_init", 300, 262),
  // Devices, terminals among them.
  row("ioctl", 16, 29),
  // Mounts and name spaces.
  row("mount", 165, 40),
  row("umount2", 166, 39),
  row("pivot_root", 155, 41),
  row("open_tree", 428, 428),
  row("move_mount", 429, 429),
  row("fsopen", 430, 430),
  row("fsconfig", 431, 431),
  row("fsmount", 432, 432),
  row("fspick", 433, 433),
  row("mount_setattr", 442, 442),
  row("open_tree_attr", 467, 467),
  row("unshare", 272, 97),
  row("setns", 308, 268),
  // The network and other ways to processes.
  row("socket", 41, 198),
  row("socketpair", 53, 199),
  row("connect", 42, 203),
  row("bind", 49, 200),
  row("listen", 50, 201),
  row("accept", 43, 202),
  row("accept4", 288, 242),
  row("shmget", 29, 194),
  row("shmat", 30, 196),
  row("shmctl", 31, 195),
  row("msgget", 68, 186),
  row("msgctl", 71, 187),
  row("msgrcv", 70, 188),
  row("msgsnd", 69, 189),
  row("semget", 64, 190),
  row("semctl", 66, 191),
  row("semtimedop", 220, 192),
  row("semop", 65, 193),
  row("mq_open", 240, 180),
  row("mq_unlink", 241, 181),
  // Programs and other processes.
  row("execve", 59, 221),
  row("execveat", 322, 281),
  row("fork", 57, undefined),
  row("vfork", 58, undefined),
  row("ptrace", 101, 117),
  row("process_vm_readv", 310, 270),
  row("process_vm_writev", 311, 271),
  row("process_madvise", 440, 440),
  row("process_mrelease", 448, 448),
  row("kcmp", 312, 272),
  row("pidfd_open", 434, 434),
  row("pidfd_getfd", 438, 438),
  row("pidfd_send_signal", 424, 424),
  others("kill", 62, 129),
  { ...row("tkill", 200, 130), neededByMusl: true },
  others("tgkill", 234, 131),
  others("rt_sigqueueinfo", 129, 138),
  others("rt_tgsigqueueinfo", 297, 240),
  row("prlimit64", 302, 261),
  row("setpriority", 141, 140),
  row("ioprio_set", 251, 30),
  row("sched_setscheduler", 144, 119),
  row("sched_setparam", 142, 118),
  row("sched_setattr", 314, 274),
  row("sched_setaffinity", 203, 122),
  row("migrate_pages", 256, 238),
  row("move_pages", 279, 239),
  // The kernel itself.
  row("bpf", 321, 280),
  row("perf_event_open", 298, 241),
  row("userfaultfd", 323, 282),
  row("io_uring_setup", 425, 425),
  row("io_uring_enter", 426, 426),
  row("io_uring_register", 427, 427),
  row("add_key", 248, 217),
  row("request_key", 249, 218),
  row("keyctl", 250, 219),
  row("init_module", 175, 105),
  row("finit_module", 313, 273),
  row("delete_module", 176, 106),
  row("kexec_load", 246, 104),
  row("kexec_file_load", 320, 294),
  row("reboot", 169, 142),
  row("swapon", 167, 224),
  row("swapoff", 168, 225),
  row("acct", 163, 89),
  row("quotactl", 179, 60),
  row("settimeofday", 164, 170),
  row("clock_settime", 227, 112),
  row("adjtimex", 159, 171),
  row("clock_adjtime", 305, 266),
  row("sethostname", 170, 161),
  row("setdomainname", 171, 162),
  row("iopl", 172, undefined),
  row("ioperm", 173, undefined),
  row("modify_ldt", 154, undefined),
  row("personality", 135, 92),
];
