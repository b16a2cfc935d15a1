// <xen/gntdev.h>: pages that another domain granted to this one.
import { ioc } from "../ioctl.ts";
import { n64, struct, u32 } from "../struct.ts";

export const gntdevGrantRef = struct("struct ioctl_gntdev_grant_ref", 8, {
  domid: u32(0),
  ref: u32(4),
});
/** One more `struct ioctl_gntdev_grant_ref` follows for each further page. */
export const gntdevMapGrantRef = struct("struct ioctl_gntdev_map_grant_ref", 24, {
  count: u32(0),
  index: n64(8),
  "refs[0].domid": u32(16),
  "refs[0].ref": u32(20),
});
export const gntdevUnmapGrantRef = struct("struct ioctl_gntdev_unmap_grant_ref", 16, {
  index: n64(0),
  count: u32(8),
});

export const IOCTL_GNTDEV_MAP_GRANT_REF = ioc(
  "IOCTL_GNTDEV_MAP_GRANT_REF",
  "G",
  0,
  gntdevMapGrantRef,
);
export const IOCTL_GNTDEV_UNMAP_GRANT_REF = ioc(
  "IOCTL_GNTDEV_UNMAP_GRANT_REF",
  "G",
  1,
  gntdevUnmapGrantRef,
);
