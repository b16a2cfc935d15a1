// Private ioctls of a virtio-media driver that exports its buffers to another Xen domain. They are not part of the kernel:
// docs/protocol.md. Two revisions are in use, with 4000 and with 512 grant references.
import { iowr } from "../ioctl.ts";
import { i32, struct, u32, u64, words } from "../struct.ts";

/** <linux/videodev2.h>: where private ioctls begin. */
const BASE_VIDIOC_PRIVATE = 192;

/** IMPORT: makes a dma-buf of the given references to another domain's buffer. */
export const VIRTIO_MEDIA_DIRECT_GREFS = 1;
/** IMPORT: grants a buffer of this domain to `gref_domid` and returns the references. */
export const VIRTIO_MEDIA_TARGET_DOMID = 2;

export const virtioMediaExportBuffer = struct("struct virtio_media_export_buffer", 40, {
  queue_type: u32(0),
  buffer_index: u32(4),
  plane_index: u32(8),
  flags: u32(12),
  handle_id: u64(16),
  len: u64(24),
  plane_count: u32(32),
  dmabuf_fd: i32(36),
});

const importFields = <const N extends number>(references: N) => ({
  handle_id: u64(0),
  flags: u32(8),
  gref_count: u32(12),
  gref_page_size: u32(16),
  gref_domid: u32(20),
  reserved: u32(24),
  driver_addr: u64(32),
  len: u64(40),
  dmabuf_fd: i32(48),
  gref_ids: words(56, references),
});
export const virtioMediaImportBuffer = struct(
  "struct virtio_media_import_buffer",
  16_056,
  importFields(4000),
);
export const virtioMediaImportBuffer512 = struct(
  "struct virtio_media_import_buffer_512",
  2_104,
  importFields(512),
);
export const virtioMediaReleaseHandle = struct("struct virtio_media_release_handle", 8, {
  handle_id: u64(0),
});

export const VIDIOC_VIRTIO_MEDIA_EXPORT_BUFFER = iowr(
  "VIDIOC_VIRTIO_MEDIA_EXPORT_BUFFER",
  "V",
  BASE_VIDIOC_PRIVATE,
  virtioMediaExportBuffer,
);
export const VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER = iowr(
  "VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER",
  "V",
  BASE_VIDIOC_PRIVATE + 1,
  virtioMediaImportBuffer,
);
export const VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER_512 = iowr(
  "VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER",
  "V",
  BASE_VIDIOC_PRIVATE + 1,
  virtioMediaImportBuffer512,
);
export const VIDIOC_VIRTIO_MEDIA_RELEASE_HANDLE = iowr(
  "VIDIOC_VIRTIO_MEDIA_RELEASE_HANDLE",
  "V",
  BASE_VIDIOC_PRIVATE + 2,
  virtioMediaReleaseHandle,
);
