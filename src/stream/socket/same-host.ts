// What kind of connection this is: those that stay on this machine share our clock and want other buffers, and small
// messages want to go at once.
import type { Fd } from "../../../ffi/fd.ts";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  IPPROTO_TCP,
  SO_SNDBUF,
  SOL_SOCKET,
  TCP_NODELAY,
} from "../../../ffi/linux/socket.ts";
import { localAddress, peerAddress, setOption } from "../../../ffi/socket.ts";
import { onPeer } from "../../errors.ts";

/** Whether both ends of a connection are on this host. */
export function isSameHost(socket: Fd): boolean {
  const peer = onPeer(() => peerAddress(socket)); // ENOTCONN when it has reset the connection
  if (peer.family === AF_UNIX) return true;
  const host = (name: string) => name.replace(/:\d+$/, "");
  return host(localAddress(socket).name) === host(peer.name);
}

/**
 * On this host a send buffer of a few 100 KiB keeps what is under way in the processor's cache, where the kernel's
 * own choice of several MiB goes through memory: docs/decisions/0006-local-send-buffer.md. Across a network the
 * kernel's choice stands. Unix sockets start too small instead.
 */
export function tuneSending(socket: Fd): void {
  if (!isSameHost(socket)) return;
  const { family } = localAddress(socket);
  if (family === AF_UNIX) setSendBuffer(socket, 1024 * 1024);
  else if (isTcp(socket)) setSendBuffer(socket, 256 * 1024);
}

/**
 * Messages of a few bytes leave when they are written: otherwise TCP keeps the second until the first was
 * acknowledged, and lending several frames at a time gains nothing.
 */
export function sendAtOnce(socket: Fd): void {
  if (isTcp(socket)) onPeer(() => setOption(socket, IPPROTO_TCP, TCP_NODELAY, 1));
}

function setSendBuffer(socket: Fd, bytes: number): void {
  onPeer(() => setOption(socket, SOL_SOCKET, SO_SNDBUF, bytes));
}

function isTcp(socket: Fd): boolean {
  const { family } = localAddress(socket);
  return family === AF_INET || family === AF_INET6;
}
