// SPDX-License-Identifier: GPL-2.0
/*
 * The lab's driver of a virtio-video decoder (device id 31, draft v3): it decodes so many frames when their number is
 * written to /sys/kernel/debug/framepass_vvideo/decode, and checks every answer and every byte of every picture.
 * Without a clip they are FWHT frames for the null codec, whose pictures are grey. A clip is written to the file "clip"
 * before, with the CRC of each picture. The other files there count.
 */
#include <linux/completion.h>
#include <linux/crc32.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/unaligned.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/vmalloc.h>

#define VIDEO_DECODER 31
#define INPUT 0x100
#define OUTPUT 0x101
#define FWHT 0x1006
#define QUERY_CAPABILITY 0x100
#define STREAM_CREATE 0x101
#define STREAM_DESTROY 0x102
#define STREAM_DRAIN 0x103
#define RESOURCE_CREATE 0x104
#define RESOURCE_QUEUE 0x105
#define RESOURCE_DESTROY_ALL 0x106
#define QUEUE_CLEAR 0x107
#define GET_PARAMS_EXT 0x10d
#define SET_PARAMS_EXT 0x10e
#define OK_NODATA 0x200
#define OK_CAPABILITY 0x201
#define OK_QUEUED 0x202
#define OK_PARAMS 0x203
#define RESOLUTION_CHANGED 0x200
#define FLAG_ERR 1
#define FLAG_EOS 2

#define WIDTH 320
#define HEIGHT 240
#define BODY 9000 /* of a frame: three pages with its header */
#define FRAME (44 + BODY)
#define GREY 0x80
#define INPUTS 4
#define OUTPUTS 5
#define PAGES 64
#define EVENTS 16
#define LIMIT (30 * HZ)

/* A clip: this head, the CRC of each picture, then each unit after its length. Everything is little endian. */
#define CLIP_MAGIC 0x50494c43
#define CLIP_HEAD 20
#define CLIP_FORMAT 4
#define CLIP_WIDTH 8
#define CLIP_HEIGHT 12
#define CLIP_FRAMES 16
#define CLIP_BYTES (8 << 20)

/* A command, its answer, and the resource it is about. */
struct command {
	u8 request[128];
	u8 entries[16 * PAGES];
	u8 answer[512];
	u32 length; /* of the answer */
	bool queued;
	bool answered;
};

struct buffer {
	struct command command;
	struct page *pages[PAGES];
	unsigned int count;
	u32 id;
};

struct driver {
	struct virtio_device *vdev;
	struct virtqueue *commandq, *eventq;
	spinlock_t lock;
	wait_queue_head_t wait;
	struct mutex running;
	u8 events[EVENTS][8];
	struct command command, drain;
	u8 *clip; /* CLIP_BYTES */
	u32 clip_size, clip_at; /* the next unit is at clip_at */
	struct buffer inputs[INPUTS], outputs[OUTPUTS];
	u32 plane_size;
	struct dentry *folder;
	/* for the files */
	u32 decodes, decoded, changes, features, config_size, pace_ms;
};

static struct driver *the;

static u32 get(const u8 *at, unsigned int offset);

static bool has_clip(struct driver *d)
{
	return d->clip_size > CLIP_HEAD && get(d->clip, 0) == CLIP_MAGIC;
}

static u32 coded_format(struct driver *d)
{
	return has_clip(d) ? get(d->clip, CLIP_FORMAT) : FWHT;
}

static u32 width_of(struct driver *d)
{
	return has_clip(d) ? get(d->clip, CLIP_WIDTH) : WIDTH;
}

static u32 height_of(struct driver *d)
{
	return has_clip(d) ? get(d->clip, CLIP_HEIGHT) : HEIGHT;
}

static u32 get(const u8 *at, unsigned int offset)
{
	return get_unaligned_le32(at + offset);
}

static void put(u8 *at, unsigned int offset, u32 value)
{
	put_unaligned_le32(value, at + offset);
}

static void commands_done(struct virtqueue *queue)
{
	struct driver *d = queue->vdev->priv;
	struct command *c;
	unsigned long flags;
	unsigned int length;

	spin_lock_irqsave(&d->lock, flags);
	while ((c = virtqueue_get_buf(queue, &length))) {
		c->length = length;
		c->queued = false;
		c->answered = true;
	}
	spin_unlock_irqrestore(&d->lock, flags);
	wake_up(&d->wait);
}

static void post_event(struct driver *d, u8 *buffer)
{
	struct scatterlist sg;

	sg_init_one(&sg, buffer, 8);
	virtqueue_add_inbuf(d->eventq, &sg, 1, buffer, GFP_ATOMIC);
}

static void events_done(struct virtqueue *queue)
{
	struct driver *d = queue->vdev->priv;
	unsigned long flags;
	unsigned int length;
	u8 *buffer;

	spin_lock_irqsave(&d->lock, flags);
	while ((buffer = virtqueue_get_buf(queue, &length))) {
		if (length == 8 && get(buffer, 0) == RESOLUTION_CHANGED)
			d->changes++;
		post_event(d, buffer);
	}
	virtqueue_kick(queue);
	spin_unlock_irqrestore(&d->lock, flags);
	wake_up(&d->wait);
}

static int submit(struct driver *d, struct command *c, u32 type, u32 size, u32 entries)
{
	struct scatterlist request, blob, answer, *sgs[3];
	unsigned int out = 0;
	unsigned long flags;
	int err;

	put(c->request, 0, type);
	put(c->request, 4, type == QUERY_CAPABILITY ? 0 : 1);
	sg_init_one(&request, c->request, size);
	sgs[out++] = &request;
	sg_init_one(&blob, c->entries, max(1u, 16 * entries));
	if (entries > 0)
		sgs[out++] = &blob;
	sg_init_one(&answer, c->answer, sizeof(c->answer));
	sgs[out] = &answer;
	memset(c->answer, 0xee, sizeof(c->answer));
	spin_lock_irqsave(&d->lock, flags);
	c->answered = false;
	c->queued = true;
	err = virtqueue_add_sgs(d->commandq, sgs, out, 1, c, GFP_ATOMIC);
	if (!err)
		virtqueue_kick(d->commandq);
	else
		c->queued = false;
	spin_unlock_irqrestore(&d->lock, flags);
	return err;
}

static int complain(const char *what, u32 was, u32 wanted)
{
	pr_err("framepass_vvideo: %s: 0x%x for 0x%x\n", what, was, wanted);
	return -EPROTO;
}

/* Sends a command and waits for its answer. */
static int ask(struct driver *d, const char *what, u32 type, u32 size, u32 entries, u32 code)
{
	struct command *c = &d->command;
	int err = submit(d, c, type, size, entries);

	if (err)
		return err;
	if (!wait_event_timeout(d->wait, READ_ONCE(c->answered), LIMIT)) {
		pr_err("framepass_vvideo: %s: no answer\n", what);
		return -ETIMEDOUT;
	}
	return get(c->answer, 0) == code ? 0 : complain(what, get(c->answer, 0), code);
}

static int ask_queue(struct driver *d, const char *what, u32 type, u32 queue, u32 code)
{
	memset(d->command.request, 0, sizeof(d->command.request));
	put(d->command.request, 8, queue);
	return ask(d, what, type, 16, 0, code);
}

static void release_buffer(struct buffer *r)
{
	while (r->count > 0)
		__free_page(r->pages[--r->count]);
}

/* A resource of single pages, wherever they are. */
static int create_buffer(struct driver *d, struct buffer *r, u32 queue, u32 id, u32 bytes)
{
	u8 *request = d->command.request;
	unsigned int count = DIV_ROUND_UP(bytes, PAGE_SIZE);

	if (count > PAGES)
		return complain("pages of a picture", count, PAGES);
	memset(request, 0, sizeof(d->command.request));
	r->id = id;
	while (r->count < count) {
		r->pages[r->count] = alloc_page(GFP_KERNEL | __GFP_ZERO);
		if (!r->pages[r->count])
			return -ENOMEM;
		put_unaligned_le64(page_to_phys(r->pages[r->count]), d->command.entries + 16 * r->count);
		put(d->command.entries, 16 * r->count + 8, PAGE_SIZE);
		put(d->command.entries, 16 * r->count + 12, 0);
		r->count++;
	}
	put(request, 8, queue);
	put(request, 12, id);
	put(request, 16, 1); /* single buffer */
	put(request, 20, 1);
	put(request, 56, count);
	return ask(d, "RESOURCE_CREATE", RESOURCE_CREATE, 88, count, OK_NODATA);
}

static int queue_buffer(struct driver *d, struct buffer *r, u32 queue, u32 size, u64 time)
{
	u8 *request = r->command.request;

	memset(request, 0, sizeof(r->command.request));
	put(request, 8, queue);
	put(request, 12, r->id);
	put_unaligned_le64(time, request + 16);
	put(request, 24, 1);
	put(request, 28, size);
	return submit(d, &r->command, RESOURCE_QUEUE, 64, 0);
}

/* The time of a frame: beyond 2^53 nanoseconds, and no whole microseconds. */
static u64 time_of(u32 frame)
{
	return (1ULL << 60) + frame * 33333333ULL + 7;
}

/* The next unit of the clip, in the pages of a buffer. */
static int send_unit(struct driver *d, struct buffer *r, u32 frame)
{
	u32 length, done = 0;

	if (d->clip_at + 4 > d->clip_size)
		return complain("units of the clip", frame, frame + 1);
	length = get(d->clip, d->clip_at);
	d->clip_at += 4;
	if (length > r->count * PAGE_SIZE || length > d->clip_size - d->clip_at)
		return complain("length of a unit", length, r->count * PAGE_SIZE);
	for (unsigned int i = 0; done < length; i++) {
		u32 bytes = min_t(u32, length - done, PAGE_SIZE);

		memcpy(page_address(r->pages[i]), d->clip + d->clip_at + done, bytes);
		done += bytes;
	}
	d->clip_at += length;
	return queue_buffer(d, r, INPUT, length, time_of(frame));
}

static int send_frame(struct driver *d, struct buffer *r, u32 frame)
{
	u8 *at = page_address(r->pages[0]);

	if (has_clip(d))
		return send_unit(d, r, frame);
	memset(at, 0, 44);
	put_unaligned_be32(0x4f4f4f4f, at);
	put_unaligned_be32(0xffffffff, at + 4);
	put_unaligned_be32(3, at + 8);
	put_unaligned_be32(WIDTH, at + 12);
	put_unaligned_be32(HEIGHT, at + 16);
	put_unaligned_be32(BODY, at + 40);
	return queue_buffer(d, r, INPUT, FRAME, time_of(frame));
}

static int send_picture_buffer(struct driver *d, struct buffer *r)
{
	for (unsigned int i = 0; i < r->count; i++)
		clear_page(page_address(r->pages[i]));
	return queue_buffer(d, r, OUTPUT, 0, 0);
}

/* Whether what came back is picture number `frame`: that of the clip, or all of it grey. */
static int check_picture(struct driver *d, struct buffer *r, u32 frame)
{
	u8 *answer = r->command.answer;
	u32 left = d->plane_size, crc = ~0;

	if (get(answer, 0) != OK_QUEUED || r->command.length != 24)
		return complain("RESOURCE_QUEUE OUTPUT", get(answer, 0), OK_QUEUED);
	if (get(answer, 16) != 0)
		return complain("flags of a picture", get(answer, 16), 0);
	if (get(answer, 20) != d->plane_size)
		return complain("bytes of a picture", get(answer, 20), d->plane_size);
	if (get_unaligned_le64(answer + 8) != time_of(frame))
		return complain("order of pictures", get(answer, 8), (u32)time_of(frame));
	for (unsigned int i = 0; i < r->count; i++) {
		u32 bytes = min_t(u32, left, PAGE_SIZE);

		if (has_clip(d))
			crc = crc32_le(crc, page_address(r->pages[i]), bytes);
		else if (memchr_inv(page_address(r->pages[i]), GREY, bytes))
			return complain("content of page", i, frame);
		left -= bytes;
	}
	if (has_clip(d) && ~crc != get(d->clip, CLIP_HEAD + 4 * frame))
		return complain("CRC of a picture", frame, get(d->clip, CLIP_HEAD + 4 * frame));
	return 0;
}

/* Whether there is something to do: a free buffer for bitstream that is left, or the next picture. */
static bool can_go_on(struct driver *d, bool more)
{
	for (unsigned int i = 0; more && i < INPUTS; i++)
		if (!READ_ONCE(d->inputs[i].command.queued))
			return true;
	return READ_ONCE(d->outputs[d->decoded % OUTPUTS].command.answered);
}

/* Whether the format is in the answer to QUERY_CAPABILITY. */
static bool offers(const u8 *answer, u32 format)
{
	unsigned int at = 16;

	for (u32 i = 0; i < get(answer, 8) && at + 24 <= 512; i++) {
		if (get(answer, at + 8) == format)
			return true;
		at += 24 + 40 * get(answer, at + 20);
	}
	return false;
}

static int prepare(struct driver *d)
{
	u8 *request = d->command.request, *answer = d->command.answer;
	int err = ask_queue(d, "QUERY_CAPABILITY", QUERY_CAPABILITY, INPUT, OK_CAPABILITY);

	if (!err && !offers(answer, coded_format(d)))
		err = complain("coded formats", get(answer, 8), coded_format(d));
	if (!err)
		err = ask_queue(d, "QUERY_CAPABILITY", QUERY_CAPABILITY, OUTPUT, OK_CAPABILITY);
	if (err)
		return err;
	memset(request, 0, sizeof(d->command.request));
	put(request, 16, coded_format(d));
	err = ask(d, "STREAM_CREATE", STREAM_CREATE, 88, 0, OK_NODATA);
	if (err)
		return err;
	memset(request, 0, sizeof(d->command.request));
	put(request, 8, INPUT);
	put(request, 12, coded_format(d));
	put(request, 16, width_of(d));
	put(request, 20, height_of(d));
	put(request, 52, 1);
	return ask(d, "SET_PARAMS_EXT", SET_PARAMS_EXT, 128, 0, OK_NODATA);
}

/* Makes buffers for pictures of the size the stream turned out to have. */
static int prepare_outputs(struct driver *d)
{
	u8 *answer = d->command.answer;
	int err = ask_queue(d, "GET_PARAMS_EXT", GET_PARAMS_EXT, OUTPUT, OK_PARAMS);

	if (!err && (get(answer, 16) != width_of(d) || get(answer, 20) != height_of(d)))
		err = complain("width", get(answer, 16), width_of(d));
	d->plane_size = get(answer, 56);
	if (!err && d->plane_size < width_of(d) * height_of(d))
		err = complain("plane size", d->plane_size, width_of(d) * height_of(d));
	for (unsigned int i = 0; i < OUTPUTS && !err; i++) {
		err = create_buffer(d, &d->outputs[i], OUTPUT, 100 + i, d->plane_size);
		if (!err)
			err = send_picture_buffer(d, &d->outputs[i]);
	}
	return err;
}

/* Fills the buffers for bitstream that are free. After the last frame the stream is drained. */
static int feed(struct driver *d, u32 *sent, u32 frames)
{
	int err = 0;

	for (unsigned int i = 0; i < INPUTS && !err && *sent < frames; i++) {
		struct command *c = &d->inputs[i].command;

		if (READ_ONCE(c->queued))
			continue;
		if (c->answered && get(c->answer, 0) != OK_QUEUED)
			err = complain("RESOURCE_QUEUE INPUT", get(c->answer, 0), OK_QUEUED);
		if (!err)
			err = send_frame(d, &d->inputs[i], (*sent)++);
		if (d->pace_ms > 0)
			msleep(d->pace_ms);
	}
	if (err || *sent < frames || d->drain.queued || d->drain.answered)
		return err;
	/* A decoder holds its last pictures back until then. */
	memset(d->drain.request, 0, sizeof(d->drain.request));
	return submit(d, &d->drain, STREAM_DRAIN, 8, 0);
}

/* Whether bitstream can be sent, or the size is known. */
static bool can_begin(struct driver *d, bool more, u32 before)
{
	if (READ_ONCE(d->changes) != before)
		return true;
	for (unsigned int i = 0; more && i < INPUTS; i++)
		if (!READ_ONCE(d->inputs[i].command.queued))
			return true;
	return false;
}

static int run(struct driver *d, u32 frames)
{
	u32 sent = 0, before = d->changes;
	int err = prepare(d);

	for (unsigned int i = 0; i < INPUTS && !err; i++)
		err = create_buffer(d, &d->inputs[i], INPUT, 1 + i, has_clip(d) ? PAGES * PAGE_SIZE : FRAME);
	/* FWHT: the first frame is enough for its size, and shows that the device answers with one. */
	if (!err && !has_clip(d))
		err = send_frame(d, &d->inputs[0], sent++);
	while (!err && READ_ONCE(d->changes) == before) {
		if (has_clip(d))
			err = feed(d, &sent, frames);
		if (!err && wait_event_timeout(d->wait, can_begin(d, has_clip(d) && sent < frames, before),
					       LIMIT) == 0)
			err = complain("events", d->changes, before + 1);
	}
	if (!err)
		err = prepare_outputs(d);
	while (!err && d->decoded < frames) {
		err = feed(d, &sent, frames);
		/* Pictures come in the order of their buffers. */
		for (unsigned int i = d->decoded % OUTPUTS;
		     !err && d->decoded < frames && READ_ONCE(d->outputs[i].command.answered);
		     i = d->decoded % OUTPUTS) {
			err = check_picture(d, &d->outputs[i], d->decoded);
			if (!err)
				err = send_picture_buffer(d, &d->outputs[i]);
			d->decoded++;
		}
		if (!err && d->decoded < frames &&
		    wait_event_timeout(d->wait, can_go_on(d, sent < frames), LIMIT) == 0)
			err = complain("frames", d->decoded, frames);
	}
	return err;
}

/* The end of the stream: an empty buffer with EOS, then everything else comes back at the clear. */
static int finish(struct driver *d)
{
	u8 *answer = d->outputs[d->decoded % OUTPUTS].command.answer;

	if (wait_event_timeout(d->wait, READ_ONCE(d->drain.answered), LIMIT) == 0)
		return complain("STREAM_DRAIN", 0, OK_NODATA);
	if (get(d->drain.answer, 0) != OK_NODATA)
		return complain("STREAM_DRAIN", get(d->drain.answer, 0), OK_NODATA);
	if (get(answer, 16) != FLAG_EOS || get(answer, 20) != 0)
		return complain("flags of the last buffer", get(answer, 16), FLAG_EOS);
	return 0;
}

static int clean_up(struct driver *d)
{
	int err = ask_queue(d, "QUEUE_CLEAR", QUEUE_CLEAR, OUTPUT, OK_NODATA);

	for (unsigned int i = 0; i < OUTPUTS && !err; i++)
		if (d->outputs[i].command.queued)
			err = complain("QUEUE_CLEAR left buffer", i, 0);
	if (!err)
		err = ask_queue(d, "QUEUE_CLEAR", QUEUE_CLEAR, INPUT, OK_NODATA);
	if (!err)
		err = ask_queue(d, "RESOURCE_DESTROY_ALL", RESOURCE_DESTROY_ALL, OUTPUT, OK_NODATA);
	if (!err)
		err = ask_queue(d, "STREAM_DESTROY", STREAM_DESTROY, 0, OK_NODATA);
	if (err)
		return err; /* the pages may still be written to: they are kept */
	for (unsigned int i = 0; i < INPUTS; i++)
		release_buffer(&d->inputs[i]);
	for (unsigned int i = 0; i < OUTPUTS; i++)
		release_buffer(&d->outputs[i]);
	return 0;
}

static ssize_t decode(struct file *file, const char __user *text, size_t length, loff_t *at)
{
	struct driver *d = the;
	u32 frames;
	int err = kstrtou32_from_user(text, length, 10, &frames), later;

	if (err)
		return err;
	mutex_lock(&d->running);
	d->decoded = 0;
	d->decodes++;
	d->drain.answered = false;
	if (has_clip(d)) {
		frames = min(frames, get(d->clip, CLIP_FRAMES));
		d->clip_at = CLIP_HEAD + 4 * get(d->clip, CLIP_FRAMES);
	}
	for (unsigned int i = 0; i < INPUTS; i++)
		d->inputs[i].command.answered = false;
	for (unsigned int i = 0; i < OUTPUTS; i++)
		d->outputs[i].command.answered = false;
	err = run(d, frames);
	if (!err)
		err = finish(d);
	later = clean_up(d);
	mutex_unlock(&d->running);
	return err ? err : later ? later : length;
}

/* The clip for the next decodes. Writing from the beginning replaces it. */
static ssize_t take_clip(struct file *file, const char __user *bytes, size_t length, loff_t *at)
{
	struct driver *d = the;

	if (*at < 0 || length > CLIP_BYTES || *at > CLIP_BYTES - length)
		return -EFBIG;
	if (!d->clip)
		d->clip = vmalloc(CLIP_BYTES);
	if (!d->clip)
		return -ENOMEM;
	if (copy_from_user(d->clip + *at, bytes, length))
		return -EFAULT;
	*at += length;
	d->clip_size = *at;
	return length;
}

static const struct file_operations clip_file = { .owner = THIS_MODULE, .write = take_clip };
static const struct file_operations decode_file = { .owner = THIS_MODULE, .write = decode };

static int probe(struct virtio_device *vdev)
{
	struct virtqueue_info info[] = { { "commandq", commands_done }, { "eventq", events_done } };
	struct virtqueue *queues[2];
	struct driver *d;
	u32 lengths[2];
	int err;

	if (the)
		return -EBUSY;
	d = kzalloc(sizeof(*d), GFP_KERNEL);
	if (!d)
		return -ENOMEM;
	d->vdev = vdev;
	vdev->priv = d;
	spin_lock_init(&d->lock);
	init_waitqueue_head(&d->wait);
	mutex_init(&d->running);
	virtio_cread_bytes(vdev, 4, lengths, sizeof(lengths));
	d->config_size = lengths[0];
	d->features = (u32)vdev->features;
	err = virtio_find_vqs(vdev, 2, queues, info, NULL);
	if (err) {
		kfree(d);
		return err;
	}
	d->commandq = queues[0];
	d->eventq = queues[1];
	for (unsigned int i = 0; i < EVENTS; i++)
		post_event(d, d->events[i]);
	virtio_device_ready(vdev);
	virtqueue_kick(d->eventq);
	the = d;
	d->folder = debugfs_create_dir("framepass_vvideo", NULL);
	debugfs_create_file("decode", 0200, d->folder, NULL, &decode_file);
	debugfs_create_file("clip", 0200, d->folder, NULL, &clip_file);
	debugfs_create_u32("decodes", 0444, d->folder, &d->decodes);
	debugfs_create_u32("decoded", 0444, d->folder, &d->decoded);
	debugfs_create_u32("changes", 0444, d->folder, &d->changes);
	debugfs_create_u32("features", 0444, d->folder, &d->features);
	debugfs_create_u32("max_caps_length", 0444, d->folder, &d->config_size);
	debugfs_create_u32("pace_ms", 0644, d->folder, &d->pace_ms);
	return 0;
}

static void take_away(struct virtio_device *vdev)
{
	struct driver *d = vdev->priv;

	debugfs_remove(d->folder);
	the = NULL;
	virtio_reset_device(vdev);
	vdev->config->del_vqs(vdev);
	vfree(d->clip);
	kfree(d);
}

static const struct virtio_device_id ids[] = { { VIDEO_DECODER, VIRTIO_DEV_ANY_ID }, { 0 } };
static const unsigned int features[] = { 0, 1 };

static struct virtio_driver vvideo = {
	.driver.name = "framepass_vvideo",
	.id_table = ids,
	.feature_table = features,
	.feature_table_size = ARRAY_SIZE(features),
	.probe = probe,
	.remove = take_away,
};
module_virtio_driver(vvideo);
MODULE_DEVICE_TABLE(virtio, ids);
MODULE_DESCRIPTION("framepass lab: driver of a virtio-video decoder");
MODULE_LICENSE("GPL");
