// Socket structs and constants: <sys/socket.h>, <netinet/in.h>, <netinet/tcp.h>, <sys/un.h>,
// <linux/vm_sockets.h>, <sys/uio.h>. Linux numbers, the same on x86-64 and arm64.
import { bytes, i32, n64, struct, u16, u32 } from "../struct.ts";

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_VSOCK = 40;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_SEQPACKET = 5;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_TYPE = 3;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_RCVLOWAT = 18;
export const SO_ACCEPTCONN = 30;
export const SO_DOMAIN = 39;
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const TCP_KEEPIDLE = 4;
export const TCP_KEEPINTVL = 5;
export const TCP_KEEPCNT = 6;
export const IPPROTO_IPV6 = 41;
export const IPV6_V6ONLY = 26;
export const MSG_PEEK = 0x02;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const SHUT_WR = 1;

export const sockaddrIn = struct("struct sockaddr_in", 16, {
  sin_family: u16(0),
  sin_addr: bytes(4, 4),
});
export const sockaddrIn6 = struct("struct sockaddr_in6", 28, {
  sin6_family: u16(0),
  sin6_addr: bytes(8, 16),
  sin6_scope_id: u32(24),
});
/** The port is in network byte order, the other members in host byte order. */
export const sockaddrPort = struct("struct sockaddr_in", 16, { sin_port: u16(2) }, "big");
export const sockaddrUn = struct("struct sockaddr_un", 110, {
  sun_family: u16(0),
  sun_path: bytes(2, 108),
});
export const sockaddrVm = struct("struct sockaddr_vm", 16, {
  svm_family: u16(0),
  svm_port: u32(4),
  svm_cid: u32(8),
});
export const VMADDR_CID_ANY = 0xffff_ffff;

export const iovec = struct("struct iovec", 16, { iov_base: n64(0), iov_len: n64(8) });
export const msghdr = struct("struct msghdr", 56, {
  msg_name: n64(0),
  msg_namelen: u32(8),
  msg_iov: n64(16),
  msg_iovlen: n64(24),
  msg_control: n64(32),
  msg_controllen: n64(40),
  msg_flags: i32(48),
});
export const cmsghdr = struct("struct cmsghdr", 16, {
  cmsg_len: n64(0),
  cmsg_level: i32(8),
  cmsg_type: i32(12),
});
/** The most pieces in one message: <limits.h>. */
export const IOV_MAX = 1024;
