// <xen/gntalloc.h>: pages that this domain grants to another one.
import { ioc } from "../ioctl.ts";
import { n64, struct, u16, u32, words } from "../struct.ts";

/** One more word follows for each further page: allocate the size and 4 bytes for each page after the first. */
export const gntallocAllocGref = struct("struct ioctl_gntalloc_alloc_gref", 24, {
  domid: u16(0),
  flags: u16(2),
  count: u32(4),
  index: n64(8),
  gref_ids: words(16, 1),
});
export const gntallocDeallocGref = struct("struct ioctl_gntalloc_dealloc_gref", 16, {
  index: n64(0),
  count: u32(8),
});

export const IOCTL_GNTALLOC_ALLOC_GREF = ioc(
  "IOCTL_GNTALLOC_ALLOC_GREF",
  "G",
  5,
  gntallocAllocGref,
);
export const IOCTL_GNTALLOC_DEALLOC_GREF = ioc(
  "IOCTL_GNTALLOC_DEALLOC_GREF",
  "G",
  6,
  gntallocDeallocGref,
);
