// SPDX-License-Identifier: GPL-2.0
/*
 * The lab's driver of a virtio-media device, also for the id 45: QEMU 11.1 knows no device 48, and refuses it. It passes commands
 * and events between the device and programs, which know what they mean. Where it matters to the device it does what the
 * kernel's driver does: one command at a time, 5 s for an answer, 16 event buffers, CLOSE when a file is closed, and a MUNMAP
 * for each mapping that ends, also for those that a child inherited.
 */
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/unaligned.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include "framepass_media.h"

#define MEDIA 48
#define STAND_IN 45
#define CLOSE 2
#define MUNMAP 5
#define EVENTS 16
#define MOST (64 << 10)
#define LIMIT (5 * HZ)

/* A command on its way. An answer may come after its sender has given up, so both count as holders. */
struct command {
	struct kref holders;
	u32 used;
	bool answered, given_up;
	u8 *request, *answer;
};

struct driver {
	struct virtio_device *vdev;
	struct virtqueue *commandq, *eventq;
	spinlock_t lock;
	wait_queue_head_t wait;
	struct mutex one; /* command at a time */
	struct virtio_shm_region region;
	bool has_region, gone;
	u8 (*events)[MEDIA_EVENT];
	u32 waiting[EVENTS], lengths[EVENTS], first, count; /* events that were not read yet */
	u32 late, timeouts;
};

static struct driver *the;

static void forget(struct kref *holders)
{
	struct command *c = container_of(holders, struct command, holders);

	kfree(c->request);
	kfree(c->answer);
	kfree(c);
}

static void commands_done(struct virtqueue *queue)
{
	struct driver *d = queue->vdev->priv;
	struct command *c;
	unsigned long flags;
	unsigned int length;

	spin_lock_irqsave(&d->lock, flags);
	while ((c = virtqueue_get_buf(queue, &length))) {
		c->used = length;
		c->answered = true;
		if (c->given_up)
			d->late++;
		kref_put(&c->holders, forget);
	}
	spin_unlock_irqrestore(&d->lock, flags);
	wake_up(&d->wait);
}

static void post_event(struct driver *d, u32 index)
{
	struct scatterlist sg;

	sg_init_one(&sg, d->events[index], MEDIA_EVENT);
	virtqueue_add_inbuf(d->eventq, &sg, 1, d->events[index], GFP_ATOMIC);
}

static void events_done(struct virtqueue *queue)
{
	struct driver *d = queue->vdev->priv;
	unsigned long flags;
	unsigned int length;
	u8 *buffer;

	spin_lock_irqsave(&d->lock, flags);
	while ((buffer = virtqueue_get_buf(queue, &length))) {
		u32 at = (d->first + d->count++) % EVENTS;

		d->waiting[at] = (buffer - d->events[0]) / MEDIA_EVENT;
		d->lengths[at] = length;
	}
	spin_unlock_irqrestore(&d->lock, flags);
	wake_up(&d->wait);
}

static struct command *command_of(u32 request_size, u32 answer_size)
{
	struct command *c = kzalloc(sizeof(*c), GFP_KERNEL);

	if (!c)
		return NULL;
	kref_init(&c->holders);
	c->request = kzalloc(request_size, GFP_KERNEL);
	c->answer = kmalloc(max(1u, answer_size), GFP_KERNEL);
	if (!c->request || !c->answer) {
		kref_put(&c->holders, forget);
		return NULL;
	}
	memset(c->answer, 0xee, max(1u, answer_size));
	return c;
}

/* Sends a command and waits for its answer. */
static int ask(struct driver *d, struct command *c, u32 request_size, u32 answer_size)
{
	struct scatterlist request, answer, *sgs[2] = { &request, &answer };
	unsigned long flags;
	int err;

	sg_init_one(&request, c->request, request_size);
	sg_init_one(&answer, c->answer, max(1u, answer_size));
	mutex_lock(&d->one);
	spin_lock_irqsave(&d->lock, flags);
	err = d->gone ? -ENODEV :
			virtqueue_add_sgs(d->commandq, sgs, 1, answer_size > 0, c, GFP_ATOMIC);
	if (!err) {
		kref_get(&c->holders);
		virtqueue_kick(d->commandq);
	}
	spin_unlock_irqrestore(&d->lock, flags);
	if (!err && !wait_event_timeout(d->wait, READ_ONCE(c->answered), LIMIT)) {
		spin_lock_irqsave(&d->lock, flags);
		if (!c->answered) {
			c->given_up = true;
			d->timeouts++;
			err = -ETIMEDOUT;
		}
		spin_unlock_irqrestore(&d->lock, flags);
	}
	mutex_unlock(&d->one);
	return err;
}

/* A command of this driver: its number, four reserved bytes, and a value. */
static void tell(struct driver *d, u32 number, u64 value, u32 answer_size)
{
	struct command *c = command_of(16, answer_size);

	if (!c)
		return;
	put_unaligned_le32(number, c->request);
	put_unaligned_le64(value, c->request + 8);
	ask(d, c, 16, answer_size);
	kref_put(&c->holders, forget);
}

static long command_ioctl(struct driver *d, void __user *argument)
{
	struct media_command m;
	struct command *c;
	long err;

	if (copy_from_user(&m, argument, sizeof(m)))
		return -EFAULT;
	if (m.request_size < 1 || m.request_size > MOST || m.answer_size > MOST)
		return -EINVAL;
	c = command_of(m.request_size, m.answer_size);
	if (!c)
		return -ENOMEM;
	err = -EFAULT;
	if (copy_from_user(c->request, u64_to_user_ptr(m.request), m.request_size))
		goto out;
	err = ask(d, c, m.request_size, m.answer_size);
	if (err)
		goto out;
	m.used = c->used;
	err = -EFAULT;
	if (copy_to_user(u64_to_user_ptr(m.answer), c->answer, m.answer_size) ||
	    copy_to_user(argument, &m, sizeof(m)))
		goto out;
	err = 0;
out:
	kref_put(&c->holders, forget);
	return err;
}

static long info_ioctl(struct driver *d, void __user *argument)
{
	struct media_info info = { .late = d->late, .timeouts = d->timeouts };

	for (unsigned int i = 0; i < sizeof(info.config); i++)
		virtio_cread_bytes(d->vdev, i, info.config + i, 1);
	info.region = d->has_region ? d->region.len : 0;
	return copy_to_user(argument, &info, sizeof(info)) ? -EFAULT : 0;
}

static long node_ioctl(struct file *file, unsigned int what, unsigned long argument)
{
	u32 session;

	if (!the)
		return -ENODEV;
	switch (what) {
	case MEDIA_COMMAND:
		return command_ioctl(the, (void __user *)argument);
	case MEDIA_INFO:
		return info_ioctl(the, (void __user *)argument);
	case MEDIA_CLOSES:
		if (get_user(session, (u32 __user *)argument))
			return -EFAULT;
		file->private_data = (void *)(unsigned long)(session + 1UL);
		return 0;
	}
	return -ENOTTY;
}

static int node_open(struct inode *inode, struct file *file)
{
	file->private_data = NULL;
	return 0;
}

static int node_release(struct inode *inode, struct file *file)
{
	unsigned long session = (unsigned long)file->private_data;

	if (the && session)
		tell(the, CLOSE, session - 1, 0);
	return 0;
}

/* The next event; EAGAIN when there is none in 5 s. Programs read in turn: one of them at a time streams. */
static ssize_t node_read(struct file *file, char __user *to, size_t length, loff_t *at)
{
	struct driver *d = the;
	u8 event[MEDIA_EVENT];
	unsigned long flags;
	u32 got = 0;
	long left;

	if (!d)
		return -ENODEV;
	left = wait_event_interruptible_timeout(d->wait, READ_ONCE(d->count) > 0, LIMIT);
	if (left < 0)
		return left;
	spin_lock_irqsave(&d->lock, flags);
	if (d->count > 0) {
		u32 index = d->waiting[d->first];

		got = min(d->lengths[d->first], (u32)MEDIA_EVENT);
		memcpy(event, d->events[index], got);
		d->first = (d->first + 1) % EVENTS;
		d->count--;
		post_event(d, index);
		virtqueue_kick(d->eventq);
	}
	spin_unlock_irqrestore(&d->lock, flags);
	if (got == 0)
		return -EAGAIN;
	got = min_t(size_t, got, length);
	return copy_to_user(to, event, got) ? -EFAULT : got;
}

static __poll_t node_poll(struct file *file, poll_table *table)
{
	if (!the)
		return EPOLLERR;
	poll_wait(file, &the->wait, table);
	return READ_ONCE(the->count) > 0 ? EPOLLIN : 0;
}

/* There is no "open" beside it: a mapping that a child inherits is not announced, and its end is, as in the kernel's driver. */
static void mapping_ends(struct vm_area_struct *vma)
{
	if (the)
		tell(the, MUNMAP, (u64)vma->vm_pgoff << PAGE_SHIFT, 8);
}

static const struct vm_operations_struct mappings = { .close = mapping_ends };

static int node_mmap(struct file *file, struct vm_area_struct *vma)
{
	u64 from = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 length = vma->vm_end - vma->vm_start;
	int err;

	if (!the || !the->has_region)
		return -ENODEV;
	if (from > the->region.len || length > the->region.len - from)
		return -EINVAL;
	err = io_remap_pfn_range(vma, vma->vm_start, (the->region.addr + from) >> PAGE_SHIFT, length,
				 vma->vm_page_prot);
	if (!err)
		vma->vm_ops = &mappings;
	return err;
}

static const struct file_operations operations = {
	.owner = THIS_MODULE,
	.open = node_open,
	.release = node_release,
	.unlocked_ioctl = node_ioctl,
	.read = node_read,
	.poll = node_poll,
	.mmap = node_mmap,
};

static struct miscdevice node = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "framepass-media",
	.fops = &operations,
	.mode = 0666,
};

static int probe(struct virtio_device *vdev)
{
	struct virtqueue_info info[] = { { "commandq", commands_done }, { "eventq", events_done } };
	struct virtqueue *queues[2];
	struct driver *d;
	int err;

	if (the)
		return -EBUSY;
	d = kzalloc(sizeof(*d), GFP_KERNEL);
	if (!d)
		return -ENOMEM;
	d->events = kcalloc(EVENTS, MEDIA_EVENT, GFP_KERNEL);
	d->vdev = vdev;
	vdev->priv = d;
	spin_lock_init(&d->lock);
	init_waitqueue_head(&d->wait);
	mutex_init(&d->one);
	err = d->events ? virtio_find_vqs(vdev, 2, queues, info, NULL) : -ENOMEM;
	if (err)
		goto free;
	d->commandq = queues[0];
	d->eventq = queues[1];
	d->has_region = virtio_get_shm_region(vdev, &d->region, 0);
	for (u32 i = 0; i < EVENTS; i++)
		post_event(d, i);
	virtio_device_ready(vdev);
	virtqueue_kick(d->eventq);
	the = d;
	err = misc_register(&node);
	if (!err)
		return 0;
	the = NULL;
	virtio_reset_device(vdev);
	vdev->config->del_vqs(vdev);
free:
	kfree(d->events);
	kfree(d);
	return err;
}

static void take_away(struct virtio_device *vdev)
{
	struct driver *d = vdev->priv;
	struct command *c;
	unsigned long flags;

	misc_deregister(&node);
	the = NULL;
	spin_lock_irqsave(&d->lock, flags);
	d->gone = true;
	spin_unlock_irqrestore(&d->lock, flags);
	virtio_reset_device(vdev);
	while ((c = virtqueue_detach_unused_buf(d->commandq)))
		kref_put(&c->holders, forget);
	vdev->config->del_vqs(vdev);
	kfree(d->events);
	kfree(d);
}

static const struct virtio_device_id ids[] = { { MEDIA, VIRTIO_DEV_ANY_ID }, { STAND_IN, VIRTIO_DEV_ANY_ID }, { 0 } };

static struct virtio_driver media = {
	.driver.name = "framepass_media",
	.id_table = ids,
	.probe = probe,
	.remove = take_away,
};
module_virtio_driver(media);
MODULE_DEVICE_TABLE(virtio, ids);
MODULE_DESCRIPTION("framepass lab: driver of a virtio-media device");
MODULE_LICENSE("GPL");
