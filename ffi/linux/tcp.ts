// What the kernel says about a TCP connection: <linux/tcp.h>.
import { n64, struct, u8, u32 } from "../struct.ts";

export const TCP_INFO = 11;
export const TCP_USER_TIMEOUT = 18;

/** In part; the kernel fills in as much as it knows. */
export const tcpInfo = struct("struct tcp_info", 148, {
  tcpi_retransmits: u8(2),
  tcpi_probes: u8(3),
  tcpi_unacked: u32(24),
  tcpi_last_ack_recv: u32(56),
  tcpi_bytes_acked: n64(120),
  tcpi_notsent_bytes: u32(144),
});
