// <linux/udmabuf.h>
import { iow } from "../ioctl.ts";
import { n64, struct, u32 } from "../struct.ts";

export const UDMABUF_FLAGS_CLOEXEC = 1;
export const udmabufCreateItem = struct("struct udmabuf_create_item", 24, {
  memfd: u32(0),
  offset: n64(8),
  size: n64(16),
});
/** The items follow it. */
export const udmabufCreateList = struct("struct udmabuf_create_list", 8, {
  flags: u32(0),
  count: u32(4),
});
export const UDMABUF_CREATE_LIST = iow("UDMABUF_CREATE_LIST", "u", 0x43, udmabufCreateList);
