// Stream sockets: connect, listen, accept, options. All are non-blocking and close-on-exec.
import { unlinkSync } from "node:fs";
import { errno, must, result, SysError } from "./errno.ts";
import { Fd } from "./fd.ts";
import { int } from "./ioctl.ts";
import { addressOf, libc } from "./libc.ts";
import * as k from "./linux/socket.ts";
import { TCP_INFO, TCP_USER_TIMEOUT, tcpInfo } from "./linux/tcp.ts";
import { readSockaddr, type Sockaddr, unixPath } from "./sockaddr.ts";
import { closeAccess, openAccess, type SocketAccess } from "./socket-access.ts";
import { type Struct, struct, u32 } from "./struct.ts";

const lengthCell = struct("socklen_t", 4, { value: u32(0) });

/** A new stream socket for addresses like `to`. Throws SysError. */
function open(to: Sockaddr): Fd {
  const type = k.SOCK_STREAM | k.SOCK_NONBLOCK | k.SOCK_CLOEXEC;
  return new Fd(must(result(libc.socket(to.family, type, 0)), "socket", to.name), to.name);
}

/** Starts a connection attempt. When the socket becomes writable, `connectResult` has the outcome. Throws SysError. */
export function startConnect(to: Sockaddr): Fd {
  const socket = open(to);
  const r = result(libc.connect(socket.number, addressOf(to.bytes), to.bytes.length));
  if (r < 0 && r !== -errno.EINPROGRESS && r !== -errno.EINTR) {
    socket[Symbol.dispose]();
    throw new SysError("connect", to.name, -r);
  }
  return socket;
}

/**
 * Whether a process listens on a Unix socket. Connects with the wrong type, datagram to stream: a listening socket answers
 * EPROTOTYPE, and the process behind it does not notice. Throws SysError.
 */
export function isServed(at: Sockaddr): boolean {
  const type = k.SOCK_DGRAM | k.SOCK_NONBLOCK | k.SOCK_CLOEXEC;
  using probe = new Fd(must(result(libc.socket(at.family, type, 0)), "socket", at.name), at.name);
  const r = result(libc.connect(probe.number, addressOf(at.bytes), at.bytes.length));
  if (r === -errno.ECONNREFUSED) return false;
  if (r !== -errno.EPROTOTYPE) must(r, "connect", at.name);
  return true;
}

/** 0 if the connection is established, otherwise the negative errno of the failed attempt. */
export function connectResult(socket: Fd): number {
  return -getOption(socket, k.SOL_SOCKET, k.SO_ERROR);
}

/**
 * Binds and listens, with SO_REUSEADDR. An IPv6 wildcard address also accepts IPv4. `access` is for the file of a Unix
 * socket. Throws SysError; then the file is removed.
 */
export function listenOn(at: Sockaddr, backlog = 16, access?: SocketAccess): Fd {
  const socket = open(at);
  try {
    if (at.family !== k.AF_UNIX) setOption(socket, k.SOL_SOCKET, k.SO_REUSEADDR, 1);
    if (at.family === k.AF_INET6) setOption(socket, k.IPPROTO_IPV6, k.IPV6_V6ONLY, 0);
    const path = access === undefined ? undefined : unixPath(at);
    if (path !== undefined) closeAccess(socket);
    must(result(libc.bind(socket.number, addressOf(at.bytes), at.bytes.length)), "bind", at.name);
    if (path !== undefined && access !== undefined) allow(path, access);
    must(result(libc.listen(socket.number, backlog)), "listen", at.name);
  } catch (error) {
    socket[Symbol.dispose]();
    throw error;
  }
  return socket;
}

function allow(path: string, access: SocketAccess): void {
  try {
    openAccess(path, access);
  } catch (error) {
    unlinkSync(path);
    throw error;
  }
}

/** The next waiting connection, or undefined. Throws SysError. */
export function accept(listener: Fd): { socket: Fd; peer: Sockaddr } | undefined {
  const address = new Uint8Array(new ArrayBuffer(128));
  const length = lengthCell.alloc();
  length.value = address.length;
  const flags = k.SOCK_NONBLOCK | k.SOCK_CLOEXEC;
  const r = result(libc.accept4(listener.number, addressOf(address), length.$address, flags));
  // ECONNABORTED: the peer has given up already. accept(2), "Error handling".
  if (r === -errno.EAGAIN || r === -errno.EINTR || r === -errno.ECONNABORTED) return undefined;
  must(r, "accept", listener.name);
  const peer = readSockaddr(address.subarray(0, Math.min(length.value, address.length)));
  return { socket: new Fd(r, peer.name), peer };
}

/** A socket that the parent process passed, and what it is. */
export interface InheritedSocket {
  readonly socket: Fd;
  readonly family: number;
  readonly unix: boolean;
  readonly stream: boolean;
  readonly listening: boolean;
  readonly connected: boolean;
}

/** Takes ownership of a socket that the parent process passed as descriptor `fd`. Throws SysError. */
export function inheritedSocket(fd: number): InheritedSocket {
  const socket = new Fd(fd, `descriptor ${fd}`);
  const option = (name: number) => getOption(socket, k.SOL_SOCKET, name); // throws ENOTSOCK or EBADF
  const family = option(k.SO_DOMAIN);
  const unix = family === k.AF_UNIX;
  const stream = option(k.SO_TYPE) === k.SOCK_STREAM;
  const listening = option(k.SO_ACCEPTCONN) !== 0;
  const name = new Uint8Array(new ArrayBuffer(128));
  const length = lengthCell.alloc();
  length.value = name.length;
  const connected = libc.getpeername(fd, addressOf(name), length.$address) === 0;
  socket.closeOnExec();
  return { socket, family, unix, stream, listening, connected };
}

/** Two connected stream sockets. Throws SysError. */
export const socketPair = () => connectedPair(k.SOCK_STREAM);

/** Two connected sockets that keep the borders of messages. Throws SysError. */
export const packetPair = () => connectedPair(k.SOCK_SEQPACKET);

function connectedPair(kind: number): [Fd, Fd] {
  const pair = new Int32Array(new ArrayBuffer(8));
  const type = kind | k.SOCK_NONBLOCK | k.SOCK_CLOEXEC;
  must(result(libc.socketpair(k.AF_UNIX, type, 0, addressOf(pair))), "socketpair", "unix");
  return [new Fd(pair[0] ?? -1, "socketpair"), new Fd(pair[1] ?? -1, "socketpair")];
}

/** The address that a socket is bound to; after binding to port 0, with the chosen port. Throws SysError. */
export const localAddress = (socket: Fd) => addressFrom("getsockname", socket);

/** The address of the peer. Throws SysError. */
export const peerAddress = (socket: Fd) => addressFrom("getpeername", socket);

function addressFrom(call: "getsockname" | "getpeername", socket: Fd): Sockaddr {
  const address = new Uint8Array(new ArrayBuffer(128));
  const length = lengthCell.alloc();
  length.value = address.length;
  must(result(libc[call](socket.number, addressOf(address), length.$address)), call, socket.name);
  return readSockaddr(address.subarray(0, Math.min(length.value, address.length)));
}

/** Sets an integer option. Throws SysError. */
export function setOption(socket: Fd, level: number, option: number, value: number): void {
  const cell = int.alloc();
  cell.value = value;
  const r = result(libc.setsockopt(socket.number, level, option, cell.$address, 4));
  must(r, "setsockopt", socket.name);
}

/** Reads an integer option. Throws SysError. */
export function getOption(socket: Fd, level: number, option: number): number {
  const cell = int.alloc();
  const length = lengthCell.alloc();
  length.value = 4;
  const r = result(libc.getsockopt(socket.number, level, option, cell.$address, length.$address));
  must(r, "getsockopt", socket.name);
  return cell.value;
}

/**
 * Lets the kernel end a TCP connection within `limitMs` and 2 s when the peer's host is gone: it sends no FIN. Keepalive
 * finds that out while nothing is in flight, TCP_USER_TIMEOUT while bytes are unacknowledged. The kernel also ends a
 * connection whose peer keeps its window closed for `limitMs`, although it answers (tcp_timer.c, tcp_probe_timer): see
 * setUserTimeout. Throws SysError.
 */
export function detectLoss(socket: Fd, limitMs: number): void {
  setOption(socket, k.SOL_SOCKET, k.SO_KEEPALIVE, 1);
  setOption(socket, k.IPPROTO_TCP, k.TCP_KEEPIDLE, 2);
  setOption(socket, k.IPPROTO_TCP, k.TCP_KEEPINTVL, 1);
  setOption(socket, k.IPPROTO_TCP, k.TCP_KEEPCNT, 3);
  setUserTimeout(socket, limitMs);
}

/** Sets TCP_USER_TIMEOUT. The kernel sends its next window probe before this time has passed. Throws SysError. */
export function setUserTimeout(socket: Fd, ms: number): void {
  setOption(socket, k.IPPROTO_TCP, TCP_USER_TIMEOUT, ms);
}

/** Fills in the kernel's figures of a TCP connection. Returns 0 or a negative errno. */
export function readTcpInfo(socket: Fd, info: Struct<typeof tcpInfo.fields>): number {
  const length = lengthCell.alloc();
  length.value = tcpInfo.size;
  return result(
    libc.getsockopt(socket.number, k.IPPROTO_TCP, TCP_INFO, info.$address, length.$address),
  );
}

/** Receives up to `length` bytes to the address `at`. Answers the count (0: the peer closed) or a negative errno. */
export function receive(socket: Fd, at: number, length: number): number {
  return result(libc.recv(socket.number, at, length, k.MSG_DONTWAIT));
}

/** Like `receive`; the bytes stay in the socket's buffer. */
export function peek(socket: Fd, at: number, length: number): number {
  return result(libc.recv(socket.number, at, length, k.MSG_DONTWAIT | k.MSG_PEEK));
}

/** Like `receive`, and blocks the thread until there is something. The socket must be blocking. */
export function receiveBlocking(socket: Fd, at: number, length: number): number {
  for (;;) {
    const r = result(libc.recv(socket.number, at, length, 0));
    if (r !== -errno.EINTR) return r;
  }
}

/** Sends up to `length` bytes from the address `at`. Answers the count or a negative errno. */
export function send(socket: Fd, at: number, length: number): number {
  return result(libc.send(socket.number, at, length, k.MSG_DONTWAIT | k.MSG_NOSIGNAL));
}

/** Like `send`, and blocks the thread until there is room. The socket must be blocking. */
export function sendBlocking(socket: Fd, at: number, length: number): number {
  for (;;) {
    const r = result(libc.send(socket.number, at, length, k.MSG_NOSIGNAL));
    if (r !== -errno.EINTR) return r;
  }
}

/** Ends sending. Data in flight still arrives. */
export function finishSending(socket: Fd): void {
  libc.shutdown(socket.number, k.SHUT_WR);
}
