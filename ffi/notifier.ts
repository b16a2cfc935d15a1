// Notifications between programs: 8 bytes written to an eventfd or a pipe. Its sender may fill or close the descriptor, or clear
// O_NONBLOCK, at any time, so nothing here may block: <poll.h>, eventfd(2), preadv2(2).
import { readlinkSync } from "node:fs";
import { errno, result } from "./errno.ts";
import type { Fd } from "./fd.ts";
import { libc } from "./libc.ts";
import { iovec } from "./linux/socket.ts";
import { i32, n64, struct, u16 } from "./struct.ts";

/** <asm/unistd.h> */
const SYS_PREADV2 = process.arch === "x64" ? 327 : 286;
/** preadv2: fail with EAGAIN instead of waiting, whatever the flags of the descriptor are. <linux/fs.h> */
const RWF_NOWAIT = 0x8;
/** preadv2: read like readv, without an offset. */
const NO_OFFSET = -1;
const POLLIN = 0x1;
const POLLPRI = 0x2;
const POLLOUT = 0x4;
const POLLHUP = 0x10;
const POLLRDHUP = 0x2000;
const pollfd = struct("struct pollfd", 8, { fd: i32(0), events: u16(4), revents: u16(6) });

/** Memory for the calls below. It is reached through this object, so that it lives as long as the module. */
const cells = {
  one: struct("uint64_t", 8, { value: n64(0) }).alloc(),
  taken: struct("uint64_t", 8, { value: n64(0) }).alloc(),
  piece: iovec.alloc(),
  poll: pollfd.alloc(),
};
cells.one.value = 1;
cells.piece.iov_base = cells.taken.$address;
cells.piece.iov_len = cells.taken.$bytes.length;
const pieceAt = cells.piece.$address;

/** Whether one of `events` is there now. */
function isReady(fd: number, events: number): boolean {
  const { poll } = cells;
  poll.fd = fd;
  poll.events = events;
  return result(libc.poll(poll.$address, 1, 0)) === 1 && (poll.revents & events) !== 0;
}

/** Whether there is input. Answers at once. */
export function hasInput(fd: number): boolean {
  return isReady(fd, POLLIN);
}

/** Waits until there is input or urgent input, `timeoutMs` at most. */
export function waitForInput(fd: number, timeoutMs: number): void {
  const { poll } = cells;
  poll.fd = fd;
  poll.events = POLLIN | POLLPRI;
  libc.poll(poll.$address, 1, timeoutMs);
}

/** Whether a descriptor is an eventfd. To a waiter each write to it is an event of its own, also when nothing was read before. */
export function isEventfd(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === "anon_inode:[eventfd]";
  } catch {
    return false;
  }
}

/** Whether the other end of a connection has closed it. Answers at once. */
export function isHungUp(fd: number): boolean {
  return isReady(fd, POLLRDHUP | POLLHUP);
}

/** Whether a write to the descriptor would not wait, or would fail. Answers at once. */
export function takesBytes(fd: number): boolean {
  const { poll } = cells;
  poll.fd = fd;
  poll.events = POLLOUT;
  return result(libc.poll(poll.$address, 1, 0)) > 0;
}

/** A descriptor that is written to in order to notify. */
export class Notifier implements Disposable {
  readonly #fd: Fd;

  /** Takes ownership of `fd`. Throws SysError. */
  constructor(fd: Fd) {
    fd.setNonBlocking(true);
    this.#fd = fd;
  }

  /** Notifies. A descriptor that is full, closed or broken is left alone. */
  notify(): void {
    // No flag makes a write to an eventfd return at once: RWF_NOWAIT is refused there. So poll first.
    if (isReady(this.#fd.number, POLLOUT)) {
      libc.write(this.#fd.number, cells.one.$address, 8);
    }
  }

  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }
}

/** Reads the notification on a readable descriptor; false when the descriptor is at its end or broken. */
export function takeNotice(fd: number): boolean {
  let r = result(libc.syscall(SYS_PREADV2, fd, pieceAt, 1, NO_OFFSET, 0, RWF_NOWAIT));
  // Kernels know RWF_NOWAIT for eventfds from 5.8 on, for pipes and sockets from 6.4 on; other files never.
  if (r === -errno.EOPNOTSUPP || r === -errno.ENOSYS) {
    if (!isReady(fd, POLLIN)) return true;
    r = result(libc.read(fd, cells.taken.$address, 8));
  }
  return r > 0 || r === -errno.EAGAIN || r === -errno.EINTR; // EAGAIN: another reader was faster
}
