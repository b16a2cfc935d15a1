// Whether the peer's host is still there, for TCP. A peer whose kernel answers is not gone, however long its program pauses.
import { errno } from "../../../ffi/errno.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/linux/socket.ts";
import { tcpInfo } from "../../../ffi/linux/tcp.ts";
import { detectLoss, localAddress, readTcpInfo, setUserTimeout } from "../../../ffi/socket.ts";
import { onPeer, PeerGone } from "../../errors.ts";
import type { Connection } from "../connection.ts";

/** What the kernel is given. It adds up to 2 s. */
const KERNEL_LIMIT_MS = 6000;
/** A peer with a closed window is probed at least this often. */
const PROBE_MS = 6000;
/** After this time without an answer the peer is gone, if two checks in a row find it so. */
const SILENT_MS = 7000;
const CHECK_MS = 1000;

/** Whether a socket is a TCP connection. Throws SysError. */
export function isTcp(socket: Fd): boolean {
  const { family } = localAddress(socket);
  return family === AF_INET || family === AF_INET6;
}

/** For both ends of every connection: the loss of the peer's host ends it within 10 s. Throws PeerGone. */
export function noticeLoss(socket: Fd): void {
  onPeer(() => {
    if (isTcp(socket)) detectLoss(socket, KERNEL_LIMIT_MS);
  });
}

/**
 * For an end that sends. The kernel's own limit counts from the first retransmission, which a missing link delays: here a
 * missing answer ends the connection within 9 s. When the receiver pauses, its window closes, and the kernel would end the
 * connection after KERNEL_LIMIT_MS although the receiver's kernel answers every probe. So the limit grows with the pause,
 * which also keeps the probes coming: without a limit the kernel sends them up to 120 s apart.
 */
export function watchHost<End>(connection: Connection<End>, socket: Fd): void {
  if (!onPeer(() => isTcp(socket))) return;
  const info = tcpInfo.alloc();
  let acked = -1;
  let progressMs = performance.now();
  let limitMs = KERNEL_LIMIT_MS;
  let unanswered = false;
  connection.every(CHECK_MS, () => {
    if (readTcpInfo(socket, info) < 0) return;
    const nowMs = performance.now();
    const waiting = info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0;
    if (!waiting || info.tcpi_bytes_acked !== acked) {
      acked = info.tcpi_bytes_acked;
      progressMs = nowMs;
    }
    const asked = info.tcpi_probes > 0 || info.tcpi_retransmits > 0;
    const silent = waiting && asked && info.tcpi_last_ack_recv >= SILENT_MS;
    if (silent && unanswered) throw new PeerGone("send", socket.name, errno.ETIMEDOUT);
    unanswered = silent;
    const neededMs = Math.max(KERNEL_LIMIT_MS, Math.ceil(nowMs - progressMs) + PROBE_MS);
    if (neededMs === limitMs) return;
    limitMs = neededMs;
    onPeer(() => setUserTimeout(socket, limitMs));
  });
}
