// Connections that stay on this machine: they share our clock, and their sockets want other buffers.
import type { Fd } from "../../ffi/fd.ts";
import { AF_INET, AF_INET6, AF_UNIX, SO_SNDBUF, SOL_SOCKET } from "../../ffi/linux/socket.ts";
import { localAddress, peerAddress, setOption } from "../../ffi/socket.ts";

/** Whether both ends of a connection are on this host. */
export function isSameHost(socket: Fd): boolean {
  const peer = peerAddress(socket);
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
  const { family } = peerAddress(socket);
  if (family === AF_INET || family === AF_INET6)
    setOption(socket, SOL_SOCKET, SO_SNDBUF, 256 * 1024);
  else if (family === AF_UNIX) setOption(socket, SOL_SOCKET, SO_SNDBUF, 1024 * 1024);
}
