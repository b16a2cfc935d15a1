/* The private ioctls of a virtio-media driver, as C: what ffi/linux/virtio-media.ts is checked against and what the
 * stand-in driver of the guest lab (test/lab/virtio-media) is built with. docs/protocol.md describes them. */
#ifndef FRAMEPASS_VIRTIO_MEDIA_H
#define FRAMEPASS_VIRTIO_MEDIA_H
#ifdef __KERNEL__
#include <linux/ioctl.h>
#include <linux/types.h>
#else
#include <linux/types.h>
#include <sys/ioctl.h>
#endif
#ifndef BASE_VIDIOC_PRIVATE
#define BASE_VIDIOC_PRIVATE 192
#endif

#define VIRTIO_MEDIA_DIRECT_GREFS 1
#define VIRTIO_MEDIA_TARGET_DOMID 2

struct virtio_media_export_buffer {
	__u32 queue_type;
	__u32 buffer_index;
	__u32 plane_index;
	__u32 flags;
	__u64 handle_id;
	__u64 len;
	__u32 plane_count;
	__s32 dmabuf_fd;
};

#define VIRTIO_MEDIA_IMPORT(name, references) \
	struct name { \
		__u64 handle_id; \
		__u32 flags; \
		__u32 gref_count; \
		__u32 gref_page_size; \
		__u32 gref_domid; \
		__u32 reserved; \
		__u32 pad0; \
		__u64 driver_addr; \
		__u64 len; \
		__s32 dmabuf_fd; \
		__u32 pad1; \
		__u32 gref_ids[references]; \
	}
VIRTIO_MEDIA_IMPORT(virtio_media_import_buffer, 4000);
VIRTIO_MEDIA_IMPORT(virtio_media_import_buffer_512, 512);

struct virtio_media_release_handle {
	__u64 handle_id;
};

#define VIDIOC_VIRTIO_MEDIA_EXPORT_BUFFER \
	_IOWR('V', BASE_VIDIOC_PRIVATE + 0, struct virtio_media_export_buffer)
#define VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER \
	_IOWR('V', BASE_VIDIOC_PRIVATE + 1, struct virtio_media_import_buffer)
#define VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER_512 \
	_IOWR('V', BASE_VIDIOC_PRIVATE + 1, struct virtio_media_import_buffer_512)
#define VIDIOC_VIRTIO_MEDIA_RELEASE_HANDLE \
	_IOWR('V', BASE_VIDIOC_PRIVATE + 2, struct virtio_media_release_handle)

#endif
