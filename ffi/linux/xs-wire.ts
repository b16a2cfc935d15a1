// <xen/io/xs_wire.h> of Xen's public headers: a message to or from xenstore. The text follows it.
import { struct, u32 } from "../struct.ts";

export const XS_READ = 2;
export const XS_ERROR = 16;

export const xsdSockmsg = struct("struct xsd_sockmsg", 16, {
  type: u32(0),
  req_id: u32(4),
  tx_id: u32(8),
  len: u32(12),
});
