// Notifications between programs: 8 bytes written to an eventfd or a pipe. Its sender may fill or close the descriptor at any
// time, so nothing here may block: <poll.h>, eventfd(2).
import { errno, result } from "./errno.ts";
import type { Fd } from "./fd.ts";
import { libc } from "./libc.ts";
import { i32, n64, struct, u16 } from "./struct.ts";

const POLLOUT = 0x4;
const pollfd = struct("struct pollfd", 8, { fd: i32(0), events: u16(4), revents: u16(6) });

/** Memory for the calls below. It is reached through this object, so that it lives as long as the module. */
const cells = {
  one: struct("uint64_t", 8, { value: n64(0) }).alloc(),
  taken: struct("uint64_t", 8, { value: n64(0) }).alloc(),
  poll: pollfd.alloc(),
};
cells.one.value = 1;

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
    const { poll, one } = cells;
    poll.fd = this.#fd.number;
    poll.events = POLLOUT;
    // The sender of the descriptor can clear O_NONBLOCK, so poll first.
    if (result(libc.poll(poll.$address, 1, 0)) === 1 && (poll.revents & POLLOUT) !== 0) {
      libc.write(this.#fd.number, one.$address, 8);
    }
  }

  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }
}

/** Reads the notification on a readable descriptor; false when the descriptor is at its end or broken. */
export function takeNotice(fd: number): boolean {
  const r = result(libc.read(fd, cells.taken.$address, 8));
  return r > 0 || r === -errno.EAGAIN; // another reader was faster
}
