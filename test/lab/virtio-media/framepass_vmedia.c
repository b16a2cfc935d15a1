// SPDX-License-Identifier: GPL-2.0
/*
 * A stand-in for a virtio-media driver between two Xen domains, for the guest lab: a vb2 capture device that paints
 * stamped pictures, with the three private ioctls of virtio-media.h. Sender and receiver run in one guest. A "granted"
 * buffer is known by invented references that encode its handle; who imports them gets a dma-buf of that very buffer,
 * so what the receiver reads are the pages the "camera" wrote.
 *
 * Parameters: references (4000 or 512), and in /sys/module/framepass_vmedia/parameters, writable: fail_export,
 * fail_import, fail_take (IMPORT by the receiver only), fail_release (an errno, 0: none), page_size (0: the true one); readable: exports (handles now),
 * dropped (handles whose owner closed the device without releasing them), painted (pictures so far).
 */
#include <linux/crc32.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>
#include <media/v4l2-device.h>
#include <media/v4l2-ioctl.h>
#include <media/videobuf2-v4l2.h>
#include <media/videobuf2-vmalloc.h>
#include "virtio-media.h"

#define MAX_HANDLES 64
#define MAX_WIDTH 4096
#define MAX_HEIGHT 4096
#define OWN_DOMAIN 3
#define STAMP_MAGIC 0x46505331

static int references = 4000;
module_param(references, int, 0444);
static int fail_export;
module_param(fail_export, int, 0644);
static int fail_import;
module_param(fail_import, int, 0644);
static int fail_take;
module_param(fail_take, int, 0644);
static int fail_release;
module_param(fail_release, int, 0644);
static int told_page_size;
module_param_named(page_size, told_page_size, int, 0644);
static int exports;
module_param(exports, int, 0444);
static int dropped;
module_param(dropped, int, 0444);
static int painted;
module_param(painted, int, 0444);

struct handle {
	u64 id;
	unsigned int index;
	struct file *owner;
};

struct picture_buffer {
	struct vb2_v4l2_buffer vb;
	struct list_head list;
};

static struct {
	struct v4l2_device v4l2;
	struct video_device node;
	struct vb2_queue queue;
	struct mutex lock;
	spinlock_t waiting_lock;
	struct list_head waiting;
	struct delayed_work paint;
	u32 width, height, sequence;
	struct v4l2_fract interval;
	u64 next_id;
	struct handle handles[MAX_HANDLES];
} dev;

static u32 sizeimage(void)
{
	return dev.width * dev.height * 2;
}

/* ---- pictures ---- */

static void put_be32(u8 *at, u32 value)
{
	__be32 big = cpu_to_be32(value);

	memcpy(at, &big, sizeof(big));
}

/* A grey that changes from picture to picture, and the stamp in front of it: docs/stamp.md. */
static void paint_picture(u8 *memory, u32 length, u32 sequence)
{
	memset(memory, 0x10 + sequence % 0xe0, length);
	memset(memory, 0, 32);
	put_be32(memory, STAMP_MAGIC);
	put_be32(memory + 12, sequence);
	put_be32(memory + 16, crc32_le(~0, memory + 32, length - 32) ^ ~0);
	put_be32(memory + 28, crc32_le(~0, memory, 28) ^ ~0);
}

static void paint_work(struct work_struct *work)
{
	struct picture_buffer *buffer;
	u32 sequence = dev.sequence++;
	u64 ns = div_u64(1000000000ULL * dev.interval.numerator, dev.interval.denominator);

	schedule_delayed_work(&dev.paint, nsecs_to_jiffies(ns) ?: 1);
	spin_lock_irq(&dev.waiting_lock);
	buffer = list_first_entry_or_null(&dev.waiting, struct picture_buffer, list);
	if (buffer)
		list_del(&buffer->list);
	spin_unlock_irq(&dev.waiting_lock);
	if (!buffer)
		return; /* lost, and seen in the sequence */
	paint_picture(vb2_plane_vaddr(&buffer->vb.vb2_buf, 0), sizeimage(), sequence);
	painted++;
	buffer->vb.sequence = sequence;
	buffer->vb.field = V4L2_FIELD_NONE;
	buffer->vb.vb2_buf.timestamp = ktime_get_ns();
	vb2_set_plane_payload(&buffer->vb.vb2_buf, 0, sizeimage());
	vb2_buffer_done(&buffer->vb.vb2_buf, VB2_BUF_STATE_DONE);
}

/* ---- vb2 ---- */

static int queue_setup(struct vb2_queue *queue, unsigned int *count, unsigned int *planes,
		       unsigned int sizes[], struct device *devices[])
{
	if (*planes)
		return sizes[0] < sizeimage() ? -EINVAL : 0;
	*planes = 1;
	sizes[0] = sizeimage();
	return 0;
}

static int buf_prepare(struct vb2_buffer *vb)
{
	return vb2_plane_size(vb, 0) < sizeimage() ? -EINVAL : 0;
}

static void buf_queue(struct vb2_buffer *vb)
{
	struct picture_buffer *buffer = container_of(to_vb2_v4l2_buffer(vb), struct picture_buffer, vb);

	spin_lock_irq(&dev.waiting_lock);
	list_add_tail(&buffer->list, &dev.waiting);
	spin_unlock_irq(&dev.waiting_lock);
}

static int start_streaming(struct vb2_queue *queue, unsigned int count)
{
	dev.sequence = 0;
	schedule_delayed_work(&dev.paint, 0);
	return 0;
}

static void stop_streaming(struct vb2_queue *queue)
{
	struct picture_buffer *buffer, *next;

	cancel_delayed_work_sync(&dev.paint);
	list_for_each_entry_safe(buffer, next, &dev.waiting, list) {
		list_del(&buffer->list);
		vb2_buffer_done(&buffer->vb.vb2_buf, VB2_BUF_STATE_ERROR);
	}
}

static const struct vb2_ops queue_ops = {
	.queue_setup = queue_setup,
	.buf_prepare = buf_prepare,
	.buf_queue = buf_queue,
	.start_streaming = start_streaming,
	.stop_streaming = stop_streaming,
	.wait_prepare = vb2_ops_wait_prepare,
	.wait_finish = vb2_ops_wait_finish,
};

/* ---- the private ioctls ---- */

static struct handle *find_handle(u64 id)
{
	for (int i = 0; i < MAX_HANDLES; i++)
		if (dev.handles[i].id == id && id)
			return &dev.handles[i];
	return NULL;
}

static long export_buffer(struct file *file, struct virtio_media_export_buffer *a)
{
	struct vb2_buffer *vb;

	if (fail_export)
		return -fail_export;
	if (a->queue_type != V4L2_BUF_TYPE_VIDEO_CAPTURE || a->plane_index || a->flags)
		return -EINVAL;
	vb = vb2_get_buffer(&dev.queue, a->buffer_index);
	if (!vb)
		return -EINVAL;
	for (int i = 0; i < MAX_HANDLES; i++) {
		struct handle *handle = &dev.handles[i];

		if (handle->id)
			continue;
		handle->id = ++dev.next_id;
		handle->index = a->buffer_index;
		handle->owner = file;
		exports++;
		a->handle_id = handle->id;
		a->len = sizeimage();
		a->plane_count = 1;
		a->dmabuf_fd = -1;
		return 0;
	}
	return -ENOSPC;
}

static u32 reference_of(u64 id, u32 page)
{
	return ((u32)id & 0xffff) << 16 | page;
}

/* Both revisions of the struct have the same members up to gref_ids. */
static long import_buffer(struct virtio_media_import_buffer *a)
{
	struct handle *handle = find_handle(a->handle_id);
	u32 pages = DIV_ROUND_UP(sizeimage(), PAGE_SIZE);
	struct vb2_buffer *vb;
	int fd, error;

	if (fail_import)
		return -fail_import;
	if (!handle || pages > references)
		return -EINVAL;
	if (a->flags == VIRTIO_MEDIA_TARGET_DOMID) {
		a->gref_count = pages;
		a->gref_page_size = told_page_size ?: PAGE_SIZE;
		a->gref_domid = OWN_DOMAIN;
		a->len = (u64)pages * PAGE_SIZE;
		for (u32 i = 0; i < pages; i++)
			a->gref_ids[i] = reference_of(handle->id, i);
		return 0;
	}
	if (fail_take)
		return -fail_take;
	if (a->flags != VIRTIO_MEDIA_DIRECT_GREFS || a->gref_domid != OWN_DOMAIN)
		return -EINVAL;
	if (a->gref_count != pages || a->gref_page_size != PAGE_SIZE)
		return -EINVAL;
	/* The picture's bytes, or all bytes of its pages. */
	if (a->len != sizeimage() && a->len != (u64)pages * PAGE_SIZE)
		return -EINVAL;
	for (u32 i = 0; i < pages; i++)
		if (a->gref_ids[i] != reference_of(handle->id, i))
			return -EINVAL;
	vb = vb2_get_buffer(&dev.queue, handle->index);
	if (!vb)
		return -ENOENT;
	error = vb2_core_expbuf(&dev.queue, &fd, dev.queue.type, vb, 0, O_RDWR | O_CLOEXEC);
	if (error)
		return error;
	a->dmabuf_fd = fd;
	a->len = (u64)pages * PAGE_SIZE;
	return 0;
}

static long release_handle(struct virtio_media_release_handle *a)
{
	struct handle *handle = find_handle(a->handle_id);

	if (fail_release)
		return -fail_release;
	if (!handle)
		return -ENOENT;
	handle->id = 0;
	exports--;
	return 0;
}

static long private_ioctl(struct file *file, void *fh, bool valid_prio, unsigned int cmd, void *arg)
{
	switch (cmd) {
	case VIDIOC_VIRTIO_MEDIA_EXPORT_BUFFER:
		return export_buffer(file, arg);
	case VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER:
		return references == 4000 ? import_buffer(arg) : -ENOTTY;
	case VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER_512:
		return references == 512 ? import_buffer(arg) : -ENOTTY;
	case VIDIOC_VIRTIO_MEDIA_RELEASE_HANDLE:
		return release_handle(arg);
	}
	return -ENOTTY;
}

/* ---- V4L2 ---- */

static int querycap(struct file *file, void *fh, struct v4l2_capability *cap)
{
	strscpy(cap->driver, "framepass_vmedia", sizeof(cap->driver));
	strscpy(cap->card, "virtio-media stand-in", sizeof(cap->card));
	strscpy(cap->bus_info, "platform:framepass_vmedia", sizeof(cap->bus_info));
	return 0;
}

static int enum_fmt(struct file *file, void *fh, struct v4l2_fmtdesc *f)
{
	if (f->index)
		return -EINVAL;
	f->pixelformat = V4L2_PIX_FMT_YUYV;
	return 0;
}

static int try_fmt(struct file *file, void *fh, struct v4l2_format *f)
{
	struct v4l2_pix_format *pix = &f->fmt.pix;

	pix->width = clamp_t(u32, pix->width & ~1U, 16, MAX_WIDTH);
	pix->height = clamp_t(u32, pix->height, 16, MAX_HEIGHT);
	pix->pixelformat = V4L2_PIX_FMT_YUYV;
	pix->field = V4L2_FIELD_NONE;
	pix->bytesperline = pix->width * 2;
	pix->sizeimage = pix->bytesperline * pix->height;
	pix->colorspace = V4L2_COLORSPACE_SRGB;
	return 0;
}

static int g_fmt(struct file *file, void *fh, struct v4l2_format *f)
{
	f->fmt.pix.width = dev.width;
	f->fmt.pix.height = dev.height;
	return try_fmt(file, fh, f);
}

static int s_fmt(struct file *file, void *fh, struct v4l2_format *f)
{
	if (vb2_is_busy(&dev.queue))
		return -EBUSY;
	try_fmt(file, fh, f);
	dev.width = f->fmt.pix.width;
	dev.height = f->fmt.pix.height;
	return 0;
}

static int g_parm(struct file *file, void *fh, struct v4l2_streamparm *a)
{
	if (a->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
		return -EINVAL;
	a->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
	a->parm.capture.timeperframe = dev.interval;
	a->parm.capture.readbuffers = 1;
	return 0;
}

static int s_parm(struct file *file, void *fh, struct v4l2_streamparm *a)
{
	struct v4l2_fract *wish = &a->parm.capture.timeperframe;

	if (a->type == V4L2_BUF_TYPE_VIDEO_CAPTURE && wish->numerator && wish->denominator)
		dev.interval = *wish;
	return g_parm(file, fh, a);
}

static int enum_input(struct file *file, void *fh, struct v4l2_input *input)
{
	if (input->index)
		return -EINVAL;
	input->type = V4L2_INPUT_TYPE_CAMERA;
	strscpy(input->name, "pictures", sizeof(input->name));
	return 0;
}

static int g_input(struct file *file, void *fh, unsigned int *input)
{
	*input = 0;
	return 0;
}

static int s_input(struct file *file, void *fh, unsigned int input)
{
	return input ? -EINVAL : 0;
}

/* A process that ends without releasing its handles must not leave them behind. */
static int release(struct file *file)
{
	mutex_lock(&dev.lock);
	for (int i = 0; i < MAX_HANDLES; i++) {
		if (!dev.handles[i].id || dev.handles[i].owner != file)
			continue;
		dev.handles[i].id = 0;
		exports--;
		dropped++;
	}
	mutex_unlock(&dev.lock);
	return vb2_fop_release(file);
}

static const struct v4l2_file_operations file_ops = {
	.owner = THIS_MODULE,
	.open = v4l2_fh_open,
	.release = release,
	.poll = vb2_fop_poll,
	.mmap = vb2_fop_mmap,
	.unlocked_ioctl = video_ioctl2,
};

static const struct v4l2_ioctl_ops ioctl_ops = {
	.vidioc_querycap = querycap,
	.vidioc_enum_fmt_vid_cap = enum_fmt,
	.vidioc_g_fmt_vid_cap = g_fmt,
	.vidioc_s_fmt_vid_cap = s_fmt,
	.vidioc_try_fmt_vid_cap = try_fmt,
	.vidioc_enum_input = enum_input,
	.vidioc_g_input = g_input,
	.vidioc_s_input = s_input,
	.vidioc_g_parm = g_parm,
	.vidioc_s_parm = s_parm,
	.vidioc_reqbufs = vb2_ioctl_reqbufs,
	.vidioc_querybuf = vb2_ioctl_querybuf,
	.vidioc_qbuf = vb2_ioctl_qbuf,
	.vidioc_dqbuf = vb2_ioctl_dqbuf,
	.vidioc_expbuf = vb2_ioctl_expbuf,
	.vidioc_streamon = vb2_ioctl_streamon,
	.vidioc_streamoff = vb2_ioctl_streamoff,
	.vidioc_default = private_ioctl,
};

static int __init start(void)
{
	int error;

	mutex_init(&dev.lock);
	spin_lock_init(&dev.waiting_lock);
	INIT_LIST_HEAD(&dev.waiting);
	INIT_DELAYED_WORK(&dev.paint, paint_work);
	dev.width = 640;
	dev.height = 480;
	dev.interval = (struct v4l2_fract){ 1, 30 };
	strscpy(dev.v4l2.name, "framepass_vmedia", sizeof(dev.v4l2.name));
	error = v4l2_device_register(NULL, &dev.v4l2);
	if (error)
		return error;
	dev.queue.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	dev.queue.io_modes = VB2_MMAP;
	dev.queue.buf_struct_size = sizeof(struct picture_buffer);
	dev.queue.ops = &queue_ops;
	dev.queue.mem_ops = &vb2_vmalloc_memops;
	dev.queue.timestamp_flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
	dev.queue.min_queued_buffers = 1;
	dev.queue.lock = &dev.lock;
	error = vb2_queue_init(&dev.queue);
	if (error)
		goto unregister;
	strscpy(dev.node.name, "framepass_vmedia", sizeof(dev.node.name));
	dev.node.v4l2_dev = &dev.v4l2;
	dev.node.queue = &dev.queue;
	dev.node.lock = &dev.lock;
	dev.node.fops = &file_ops;
	dev.node.ioctl_ops = &ioctl_ops;
	dev.node.release = video_device_release_empty;
	dev.node.device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
	error = video_register_device(&dev.node, VFL_TYPE_VIDEO, -1);
	if (!error)
		return 0;
unregister:
	v4l2_device_unregister(&dev.v4l2);
	return error;
}

static void __exit stop(void)
{
	video_unregister_device(&dev.node);
	v4l2_device_unregister(&dev.v4l2);
}

module_init(start);
module_exit(stop);
MODULE_DESCRIPTION("Stand-in for a virtio-media driver with exported buffers");
MODULE_LICENSE("GPL");
