// Sends and receives descriptors over Unix sockets (SCM_RIGHTS): unix(7), cmsg(3). They arrive with the first byte of a message.
import { errno, result } from "./errno.ts";
import { Fd } from "./fd.ts";
import { addressOf, libc } from "./libc.ts";
import { cmsghdr, iovec, MSG_DONTWAIT, MSG_NOSIGNAL, msghdr, SOL_SOCKET } from "./linux/socket.ts";

const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x8;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
/** The kernel passes at most this many in one message: SCM_MAX_FD of <net/scm.h>. */
export const SCM_MAX_FD = 253;

const HEADER = cmsghdr.size;
const align = (length: number) => Math.ceil(length / 8) * 8;
const CONTROL = align(HEADER + 4 * SCM_MAX_FD);

/** Memory for the arguments of sendmsg or recvmsg, made once. */
function messageMemory() {
  const control = new DataView(new ArrayBuffer(CONTROL));
  const header = cmsghdr.over(new Uint8Array(control.buffer));
  const piece = iovec.alloc();
  const message = msghdr.alloc();
  message.msg_iov = piece.$address;
  message.msg_iovlen = 1;
  return { control, controlAt: addressOf(control), header, piece, message, at: message.$address };
}
const outgoing = messageMemory();
const incoming = messageMemory();

/**
 * Sends up to `length` bytes from the address `at` in one message; `fds` go with the first byte. Answers the count of bytes
 * sent, or a negative errno. Send the rest without descriptors. Throws RangeError for too many descriptors.
 */
export function sendWithDescriptors(
  socket: Fd,
  at: number,
  length: number,
  fds: readonly number[],
): number {
  if (fds.length > SCM_MAX_FD) throw new RangeError(`${fds.length} descriptors in one message`);
  const { control, controlAt, header, piece, message } = outgoing;
  piece.iov_base = at;
  piece.iov_len = length;
  if (fds.length === 0) {
    message.msg_control = 0;
    message.msg_controllen = 0;
  } else {
    header.cmsg_len = HEADER + 4 * fds.length;
    header.cmsg_level = SOL_SOCKET;
    header.cmsg_type = SCM_RIGHTS;
    for (const [i, fd] of fds.entries()) control.setInt32(HEADER + 4 * i, fd, true);
    message.msg_control = controlAt;
    message.msg_controllen = align(HEADER + 4 * fds.length);
  }
  for (;;) {
    const r = result(libc.sendmsg(socket.number, outgoing.at, MSG_NOSIGNAL | MSG_DONTWAIT));
    if (r !== -errno.EINTR) return r;
  }
}

/**
 * Receives up to `length` bytes to the address `at`. Answers the count (0: the peer closed) or a negative errno. Received
 * descriptors are appended to `fds` and owned by the caller; they are close-on-exec. If some were lost (the descriptor
 * table is full), the others are closed and the result is -EMSGSIZE: the message is unusable.
 */
export function receiveWithDescriptors(socket: Fd, at: number, length: number, fds: Fd[]): number {
  const { controlAt, piece, message } = incoming;
  piece.iov_base = at;
  piece.iov_len = length;
  message.msg_control = controlAt;
  message.msg_controllen = CONTROL;
  message.msg_flags = 0;
  const flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
  let r = result(libc.recvmsg(socket.number, incoming.at, flags));
  while (r === -errno.EINTR) r = result(libc.recvmsg(socket.number, incoming.at, flags));
  if (r < 0) return r;
  const first = fds.length;
  takeRights(Math.min(message.msg_controllen, CONTROL), fds);
  if ((message.msg_flags & MSG_CTRUNC) === 0) return r;
  for (const fd of fds.splice(first)) fd[Symbol.dispose]();
  return -errno.EMSGSIZE;
}

/** Takes the descriptors out of the control messages; there may be several. */
function takeRights(length: number, fds: Fd[]): void {
  const { control } = incoming;
  let at = 0;
  while (at + HEADER <= length) {
    const size = control.getUint32(at, true); // the high half of size_t is 0: all of it is below CONTROL
    if (size < HEADER || at + size > length) return;
    const rights =
      control.getInt32(at + 8, true) === SOL_SOCKET &&
      control.getInt32(at + 12, true) === SCM_RIGHTS;
    for (let i = at + HEADER; rights && i + 4 <= at + size; i += 4) {
      fds.push(new Fd(control.getInt32(i, true), "received descriptor"));
    }
    at += align(size);
  }
}
