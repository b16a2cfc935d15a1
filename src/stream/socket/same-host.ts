// Settings by kind of connection. Both ends on one host share a clock and need other buffer sizes; small messages must
// not wait in TCP's buffer.
import type { Fd } from "../../../ffi/fd.ts";
import {
  AF_UNIX,
  IPPROTO_TCP,
  SO_SNDBUF,
  SOL_SOCKET,
  TCP_NODELAY,
} from "../../../ffi/linux/socket.ts";
import { localAddress, peerAddress, setOption } from "../../../ffi/socket.ts";
import { onPeer } from "../../errors.ts";
import { isTcp } from "./liveness.ts";

/** Whether both ends of a connection are on this host. Throws PeerGone. */
export function isSameHost(socket: Fd): boolean {
  const peer = onPeer(() => peerAddress(socket)); // ENOTCONN when it has reset the connection
  if (peer.family === AF_UNIX) return true;
  const host = (name: string) => name.replace(/:\d+$/, "");
  return host(localAddress(socket).name) === host(peer.name);
}

/**
 * Sets the send buffer of a connection on this host. For TCP, 256 KiB keep the data in flight in the processor's cache;
 * the kernel's own choice of several MiB does not: docs/decisions/0006-local-send-buffer.md. For Unix sockets the
 * kernel's default is too small. Across a network the kernel's choice is kept. Throws PeerGone.
 */
export function tuneSending(socket: Fd): void {
  if (!isSameHost(socket)) return;
  const { family } = localAddress(socket);
  if (family === AF_UNIX) setSendBuffer(socket, 1024 * 1024);
  else if (isTcp(socket)) setSendBuffer(socket, 256 * 1024);
}

/**
 * Sets TCP_NODELAY. Without it TCP holds back a small message until the one before was acknowledged, and lending several
 * frames at a time gains nothing. Throws PeerGone.
 */
export function sendAtOnce(socket: Fd): void {
  if (isTcp(socket)) onPeer(() => setOption(socket, IPPROTO_TCP, TCP_NODELAY, 1));
}

function setSendBuffer(socket: Fd, bytes: number): void {
  onPeer(() => setOption(socket, SOL_SOCKET, SO_SNDBUF, bytes));
}
