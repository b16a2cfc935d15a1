// Descriptors passed over a Unix socket: SCM_RIGHTS, unix(7) and cmsg(3). They travel with the first byte of the
// memory they are sent with.
import { errno, result } from "./errno.ts";
import { Fd } from "./fd.ts";
import { addressOf, libc } from "./libc.ts";
import * as k from "./linux/socket.ts";

/** CMSG_SPACE: the header, and the descriptors padded to 8 bytes. */
const spaceFor = (count: number) => k.cmsghdr.size + Math.ceil((4 * count) / 8) * 8;
/** Room for this many descriptors in one go; the kernel passes at most 253 (SCM_MAX_FD). */
const ROOM = 253;

/** A message header with one stretch of memory and room for descriptors; reused for every call. */
class Envelope {
  readonly message = k.msghdr.alloc();
  readonly #piece = k.iovec.alloc();
  readonly #control = new Uint8Array(new ArrayBuffer(spaceFor(ROOM)));
  readonly header = k.cmsghdr.over(this.#control);
  readonly descriptors = new Int32Array(this.#control.buffer, k.cmsghdr.size, ROOM);
  readonly #controlAt = addressOf(this.#control);
  readonly #pieceAt = this.#piece.$address;
  readonly at = this.message.$address;

  prepare(at: number, length: number, count: number): void {
    this.#piece.iov_base = at;
    this.#piece.iov_len = length;
    this.message.msg_iov = this.#pieceAt;
    this.message.msg_iovlen = 1;
    this.message.msg_control = count === 0 ? 0 : this.#controlAt;
    this.message.msg_controllen = count === 0 ? 0 : spaceFor(count);
    this.message.msg_flags = 0;
  }

  /** The control messages the kernel wrote, as offsets of their headers. */
  *controls(): Generator<number> {
    const end = Math.min(this.message.msg_controllen, this.#control.length);
    for (let at = 0; at + k.cmsghdr.size <= end; ) {
      yield at;
      const { cmsg_len: length } = k.cmsghdr.over(this.#control, at);
      if (length < k.cmsghdr.size) return;
      at += Math.ceil(length / 8) * 8;
    }
  }

  /** The descriptors in the control message at `offset`; none when it carries something else. */
  taken(offset: number): number[] {
    const { cmsg_len: length, cmsg_level, cmsg_type } = k.cmsghdr.over(this.#control, offset);
    if (cmsg_level !== k.SOL_SOCKET || cmsg_type !== k.SCM_RIGHTS) return [];
    const first = offset / 4;
    const count = Math.floor((length - k.cmsghdr.size) / 4);
    return Array.from({ length: count }, (_, i) => this.descriptors[first + i] ?? -1);
  }
}

const outgoing = new Envelope();
const incoming = new Envelope();

/**
 * Sends up to `length` bytes from the address `at`, and `descriptors` with the first of them; they stay the
 * caller's. The count, or a negative errno. When the count is positive, all descriptors are on their way.
 */
export function sendWith(
  socket: Fd,
  at: number,
  length: number,
  descriptors: readonly number[],
): number {
  if (descriptors.length > ROOM) throw new RangeError(`${descriptors.length} descriptors at once`);
  outgoing.prepare(at, length, descriptors.length);
  outgoing.header.cmsg_len = k.cmsghdr.size + 4 * descriptors.length;
  outgoing.header.cmsg_level = k.SOL_SOCKET;
  outgoing.header.cmsg_type = k.SCM_RIGHTS;
  outgoing.descriptors.set(descriptors);
  return result(libc.sendmsg(socket.number, outgoing.at, k.MSG_NOSIGNAL | k.MSG_DONTWAIT));
}

/**
 * Receives up to `length` bytes to the address `at`, and whatever descriptors come with them, close-on-exec, at the
 * end of `into`, whose owner the caller is. The count (0: the peer closed), or a negative errno; -EMSGSIZE when the
 * kernel had to drop descriptors, of which none is kept then.
 */
export function receiveWith(socket: Fd, at: number, length: number, into: Fd[]): number {
  incoming.prepare(at, length, ROOM);
  const r = result(libc.recvmsg(socket.number, incoming.at, k.MSG_DONTWAIT | k.MSG_CMSG_CLOEXEC));
  if (r < 0) return r;
  const arrived: Fd[] = [];
  for (const offset of incoming.controls()) {
    for (const fd of incoming.taken(offset)) arrived.push(new Fd(fd, "passed descriptor"));
  }
  if ((incoming.message.msg_flags & k.MSG_CTRUNC) !== 0) {
    for (const fd of arrived) fd[Symbol.dispose]();
    return -errno.EMSGSIZE;
  }
  into.push(...arrived);
  return r;
}
