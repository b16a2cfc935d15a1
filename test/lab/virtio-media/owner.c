/* Uses the driver as a C program would: exports a buffer, imports it with the lengths that the driver answers, and writes
 * through the dma-buf. Prints "GRANTS PAGE_SIZE GRANTED_LEN IMPORTED_LEN"; exit status 1 with the failed call's name. */
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "virtio-media.h"

static void must(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

int main(void)
{
	static struct virtio_media_import_buffer grant, taken;
	struct virtio_media_export_buffer exported = { .queue_type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .dmabuf_fd = -1 };
	struct virtio_media_release_handle release;
	struct v4l2_format format = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE };
	struct v4l2_requestbuffers request = { .count = 1, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP };
	struct v4l2_buffer buffer = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP };
	unsigned char *camera, *borrowed;
	int fd = open("/dev/video0", O_RDWR | O_CLOEXEC);

	must(fd >= 0, "open");
	format.fmt.pix.width = 322; /* 21,252 bytes: the last page is not full */
	format.fmt.pix.height = 33;
	format.fmt.pix.pixelformat = V4L2_PIX_FMT_YUYV;
	must(!ioctl(fd, VIDIOC_S_FMT, &format), "S_FMT");
	must(!ioctl(fd, VIDIOC_REQBUFS, &request), "REQBUFS");
	must(!ioctl(fd, VIDIOC_QUERYBUF, &buffer), "QUERYBUF");
	camera = mmap(NULL, buffer.length, PROT_READ, MAP_SHARED, fd, buffer.m.offset);
	must(camera != MAP_FAILED, "mmap of the camera");

	must(!ioctl(fd, VIDIOC_VIRTIO_MEDIA_EXPORT_BUFFER, &exported), "EXPORT_BUFFER");
	grant.handle_id = exported.handle_id;
	grant.flags = VIRTIO_MEDIA_TARGET_DOMID;
	grant.gref_domid = 7;
	grant.dmabuf_fd = -1;
	must(!ioctl(fd, VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER, &grant), "IMPORT_BUFFER, granting");
	taken = grant;
	taken.flags = VIRTIO_MEDIA_DIRECT_GREFS;
	must(!ioctl(fd, VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER, &taken), "IMPORT_BUFFER, taking");

	must((fcntl(taken.dmabuf_fd, F_GETFL) & O_ACCMODE) == O_RDWR, "access mode of the dma-buf");
	borrowed = mmap(NULL, taken.len, PROT_READ | PROT_WRITE, MAP_SHARED, taken.dmabuf_fd, 0);
	must(borrowed != MAP_FAILED, "mmap of the dma-buf");
	borrowed[21251] = 0x5a;
	must(camera[21251] == 0x5a, "the byte written in the camera's buffer");
	munmap(borrowed, taken.len);
	close(taken.dmabuf_fd);
	release.handle_id = exported.handle_id;
	must(!ioctl(fd, VIDIOC_VIRTIO_MEDIA_RELEASE_HANDLE, &release), "RELEASE_HANDLE");
	printf("%u %u %llu %llu\n", grant.gref_count, grant.gref_page_size, (unsigned long long)grant.len,
	       (unsigned long long)taken.len);
	return 0;
}
