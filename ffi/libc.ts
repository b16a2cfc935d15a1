// The functions of the C library, bound once. Only ffi/ calls them. Addresses and sizes are plain numbers
// (u64_fast/i64_fast): every address of a process is below 2^53.

import { dlopen, FFIType, ptr, toArrayBuffer } from "bun:ffi";
import { readFileSync } from "node:fs";
import { cLibraryIn } from "./c-library.ts";

const i32 = FFIType.i32;
const u32 = FFIType.u32;
const size = FFIType.u64_fast;
const address = FFIType.u64_fast;
const long = FFIType.i64_fast;

const signatures = {
  __errno_location: { args: [], returns: long },
  accept4: { args: [i32, address, address, i32], returns: i32 },
  bind: { args: [i32, address, u32], returns: i32 },
  chmod: { args: [address, u32], returns: i32 },
  chown: { args: [address, u32, u32], returns: i32 },
  clock_gettime: { args: [i32, address], returns: i32 },
  close: { args: [i32], returns: i32 },
  connect: { args: [i32, address, u32], returns: i32 },
  epoll_create1: { args: [i32], returns: i32 },
  epoll_ctl: { args: [i32, i32, i32, address], returns: i32 },
  epoll_wait: { args: [i32, address, i32, i32], returns: i32 },
  eventfd: { args: [u32, i32], returns: i32 },
  fallocate: { args: [i32, i32, long, long], returns: i32 },
  fchmod: { args: [i32, u32], returns: i32 },
  fcntl: { args: [i32, i32, long], returns: i32 },
  flock: { args: [i32, i32], returns: i32 },
  ftruncate: { args: [i32, long], returns: i32 },
  getpagesize: { args: [], returns: i32 },
  getpeername: { args: [i32, address, address], returns: i32 },
  getrlimit: { args: [i32, address], returns: i32 },
  getsockname: { args: [i32, address, address], returns: i32 },
  getsockopt: { args: [i32, i32, i32, address, address], returns: i32 },
  if_nametoindex: { args: [address], returns: u32 },
  inet_ntop: { args: [i32, address, address, u32], returns: long },
  inet_pton: { args: [i32, address, address], returns: i32 },
  ioctl: { args: [i32, size, address], returns: i32 },
  listen: { args: [i32, i32], returns: i32 },
  lseek: { args: [i32, long, i32], returns: long },
  madvise: { args: [address, size, i32], returns: i32 },
  memcmp: { args: [address, address, size], returns: i32 },
  memcpy: { args: [address, address, size], returns: long },
  memfd_create: { args: [address, u32], returns: i32 },
  mlockall: { args: [i32], returns: i32 },
  mmap: { args: [address, size, i32, i32, i32, long], returns: long },
  munmap: { args: [address, size], returns: i32 },
  open: { args: [address, i32, u32], returns: i32 },
  poll: { args: [address, size, i32], returns: i32 },
  prctl: { args: [i32, size, size, size, size], returns: i32 },
  pread: { args: [i32, address, size, long], returns: long },
  pwrite: { args: [i32, address, size, long], returns: long },
  read: { args: [i32, address, size], returns: long },
  recv: { args: [i32, address, size, i32], returns: long },
  recvmsg: { args: [i32, address, i32], returns: long },
  send: { args: [i32, address, size, i32], returns: long },
  sendmsg: { args: [i32, address, i32], returns: long },
  sendto: { args: [i32, address, size, i32, address, u32], returns: long },
  setrlimit: { args: [i32, address], returns: i32 },
  setsockopt: { args: [i32, i32, i32, address, u32], returns: i32 },
  shutdown: { args: [i32, i32], returns: i32 },
  sigaction: { args: [i32, address, address], returns: i32 },
  signal: { args: [i32, long], returns: long },
  socket: { args: [i32, i32, i32], returns: i32 },
  socketpair: { args: [i32, i32, i32, address], returns: i32 },
  /** For calls that some C library lacks: preadv2 came to musl with 1.2.5. */
  syscall: { args: [long, long, long, long, long, long, long], returns: long },
  timerfd_create: { args: [i32, i32], returns: i32 },
  timerfd_settime: { args: [i32, i32, address, address], returns: i32 },
  writev: { args: [i32, address, i32], returns: long },
  write: { args: [i32, address, size], returns: long },
} as const;

/** Before glibc 2.34 these are in a library of their own. */
const dlSignatures = {
  dlerror: { args: [], returns: long },
  dlopen: { args: [address, i32], returns: long },
  dlsym: { args: [address, address], returns: long },
} as const;

/** The _fast types are declared `number | bigint`. Values below 2^53 are numbers, as arguments and as results. */
type Numbers<A extends readonly unknown[]> = { [I in keyof A]: number };

type Signatures = Readonly<Record<string, { readonly args: readonly unknown[] }>>;
type Bound<S extends Signatures> = {
  readonly [K in keyof S]: (...args: Numbers<S[K]["args"]>) => number;
};

// By the paths that are mapped: by name, a `libc.so.6` in the current directory would be used on a system that has none.
const files = cLibraryIn(readFileSync("/proc/self/maps", "utf8"));

/** Whether the C library is musl. */
export const isMusl = files.libc.includes("musl");

/** Binds functions, or ends the process with one line: no program of ours can do anything without them. */
function bind<S extends Parameters<typeof dlopen>[1]>(path: string, table: S) {
  try {
    return dlopen(path, table).symbols;
  } catch (error) {
    const { message } = error as Error;
    if (!message.includes("requires the JIT")) throw error;
    // JavaScriptCore reserves memory for its compiler, and goes without when the reservation fails.
    const limits = readFileSync("/proc/self/limits", "utf8");
    const [, bytes = "unlimited"] = /^Max address space +(\d+)/m.exec(limits) ?? [];
    const limit =
      bytes === "unlimited" ? "" : ` and this process has ${Math.floor(Number(bytes) / 1e6)} MB`;
    process.stderr.write(
      `framepass: 3 GB of address space are needed${limit}; raise the limit (ulimit -v, RLIMIT_AS, LimitAS=)\n`,
    );
    process.exit(3); // not available on this host
  }
}

/** The bound functions. They report failure as in C (-1 and errno): wrap calls in `result()` of errno.ts. */
export const libc = {
  ...bind(files.libc, signatures),
  ...bind(files.dl, dlSignatures),
} as unknown as Bound<typeof signatures & typeof dlSignatures>;

/** Address of the first byte of `memory`. The caller keeps `memory` alive while the address is in use. */
export function addressOf(
  memory: ArrayBuffer | DataView<ArrayBuffer> | NodeJS.TypedArray<ArrayBuffer>,
): number {
  if (memory.byteLength === 0) throw new RangeError("an empty buffer has no address");
  return ptr(memory);
}

/** Address of the first byte of memory that threads share. The caller keeps `memory` alive while the address is in use. */
export function sharedAddress(memory: SharedArrayBuffer): number {
  if (memory.byteLength === 0) throw new RangeError("an empty buffer has no address");
  return ptr(new Uint8Array(memory));
}

/** A NUL-terminated copy of `text`, in memory that does not move. Throws TypeError if `text` contains a NUL. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  const encoded = new TextEncoder().encode(text);
  if (encoded.includes(0)) throw new TypeError(`${JSON.stringify(text)} contains a NUL character`);
  const bytes = new Uint8Array(new ArrayBuffer(encoded.length + 1));
  bytes.set(encoded);
  return bytes;
}

/** A view of `length` bytes at the address `at`. The caller owns the memory and detaches the view before it frees it. */
export function viewOf(at: number, length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(toArrayBuffer(at as Parameters<typeof toArrayBuffer>[0], 0, length));
}
