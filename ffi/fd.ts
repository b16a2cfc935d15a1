// File descriptors. Each has one owner, and only these owners call close().
import { errno, must, result, SysError } from "./errno.ts";
import { addressOf, cString, libc } from "./libc.ts";

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_NOCTTY = 0o400;
export const O_TRUNC = 0o1000;
export const O_NONBLOCK = 0o4000;
export const O_NOFOLLOW = process.arch === "arm64" ? 0o100000 : 0o400000;
export const O_PATH = 0o10000000;
export const O_CLOEXEC = 0o2000000;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
export const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
const SEEK_END = 2;
const LOCK_EX = 2;
const LOCK_NB = 4;
const F_DUPFD_CLOEXEC = 1030;
const F_SETFD = 2;
const F_GETFD = 1;
const FD_CLOEXEC = 1;
const F_GETFL = 3;
const F_SETFL = 4;
/** Forbids shrinking a memfd: otherwise a peer could make our mapping fault. */
export const F_SEAL_SHRINK = 2;
export const F_SEAL_GROW = 4;
export const F_SEAL_SEAL = 1;

/** An open file descriptor. May be disposed twice; using it afterwards throws. */
export class Fd implements Disposable {
  #fd: number;
  /** Path or kind, for error texts. */
  readonly name: string;

  /** Takes ownership of a raw descriptor. */
  constructor(fd: number, name: string) {
    this.#fd = fd;
    this.name = name;
  }

  /** Opens `path` close-on-exec. Throws SysError. */
  static open(path: string, flags: number, mode = 0o666): Fd {
    const name = cString(path);
    for (;;) {
      const r = result(libc.open(addressOf(name), flags | O_CLOEXEC, mode));
      if (r !== -errno.EINTR) return new Fd(must(r, "open", path), path);
    }
  }

  /** Duplicates a descriptor; the number of the duplicate is `least` or more. Throws SysError. */
  static duplicate(fd: number, name: string, least = 3): Fd {
    const r = result(libc.fcntl(fd, F_DUPFD_CLOEXEC, least));
    return new Fd(must(r, "fcntl(F_DUPFD)", name), name);
  }

  /**
   * Creates a memfd of `size` bytes. By default it is sealed against shrinking, growing and further seals. Throws
   * SysError.
   */
  static memory(name: string, size: number, seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL): Fd {
    const text = cString(name);
    const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    const fd = new Fd(
      must(result(libc.memfd_create(addressOf(text), flags)), "memfd_create", name),
      name,
    );
    try {
      must(result(libc.ftruncate(fd.number, size)), "ftruncate", name);
      must(result(libc.fcntl(fd.number, F_ADD_SEALS, seals)), "fcntl(F_ADD_SEALS)", name);
    } catch (error) {
      fd[Symbol.dispose]();
      throw error;
    }
    return fd;
  }

  /** The raw descriptor. Throws once it is closed. */
  get number(): number {
    if (this.#fd < 0) throw new Error(`${this.name} is closed`);
    return this.#fd;
  }

  get closed(): boolean {
    return this.#fd < 0;
  }

  /** Adds or removes O_NONBLOCK on the open file description. */
  setNonBlocking(on: boolean): void {
    const flags = must(result(libc.fcntl(this.number, F_GETFL, 0)), "fcntl(F_GETFL)", this.name);
    const wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    must(result(libc.fcntl(this.number, F_SETFL, wanted)), "fcntl(F_SETFL)", this.name);
  }

  /** Keeps the descriptor from the processes that this one starts. Throws SysError. */
  closeOnExec(): void {
    must(result(libc.fcntl(this.number, F_SETFD, FD_CLOEXEC)), "fcntl(F_SETFD)", this.name);
  }

  /**
   * Takes the lock of the file until the descriptor is closed. Returns false when another open file has it; true where
   * the file system has no locks.
   */
  lock(): boolean {
    return result(libc.flock(this.number, LOCK_EX | LOCK_NB)) !== -errno.EAGAIN;
  }

  /** Closes the descriptor. Throws SysError if written data was lost (a full disk on NFS, a quota). */
  close(): void {
    const fd = this.number;
    this.#fd = -1;
    const r = result(libc.close(fd));
    if (r < 0 && r !== -errno.EINTR) throw new SysError("close", this.name, -r);
  }

  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    libc.close(fd);
  }
}

/**
 * Whether standard descriptor `fd` was closed when the process was started. The runtime opens /dev/null in its place,
 * close-on-exec, which no inherited descriptor is.
 */
export function wasClosed(fd: number): boolean {
  const flags = result(libc.fcntl(fd, F_GETFD, 0));
  return flags < 0 || (flags & FD_CLOEXEC) !== 0;
}

/** Reads up to `length` bytes to the address `at`. Answers the count (0 at the end) or a negative errno. */
export function readAt(fd: number, at: number, length: number): number {
  return result(libc.read(fd, at, length));
}

/** Like `readAt`, from `offset` in the file. */
export function preadAt(fd: number, at: number, length: number, offset: number): number {
  return result(libc.pread(fd, at, length, offset));
}

/** Writes up to `length` bytes from the address `at`. Answers the count or a negative errno. */
export function writeAt(fd: number, at: number, length: number): number {
  return result(libc.write(fd, at, length));
}

/** Like `writeAt`, to `offset` in the file. */
export function pwriteAt(fd: number, at: number, length: number, offset: number): number {
  return result(libc.pwrite(fd, at, length, offset));
}

/** Truncates or extends a file to `size` bytes. Answers 0 or a negative errno. */
export function truncate(fd: number, size: number): number {
  return result(libc.ftruncate(fd, size));
}

/**
 * Extends a file to `size` bytes and allocates them on the disk. Answers 0 or a negative errno. On a file system without
 * fallocate the file is extended only.
 */
export function reserve(fd: number, size: number): number {
  const r = result(libc.fallocate(fd, 0, 0, size));
  return r === -errno.EOPNOTSUPP ? truncate(fd, size) : r;
}

/** The seals of a memfd, or a negative errno (EINVAL for anything else). */
export function sealsOf(fd: number): number {
  return result(libc.fcntl(fd, F_GET_SEALS, 0));
}

/** The size of a file, memfd, dma-buf or character device as lseek(2) reports it, or a negative errno. */
export function endOf(fd: number): number {
  return result(libc.lseek(fd, 0, SEEK_END));
}
