// SPDX-License-Identifier: GPL-2.0
/*
 * A program that uses the camera behind /dev/framepass-media as V4L2 programs use one, and checks the stamp of every picture
 * (docs/stamp.md). It prints what it counted, and ends with 0 when it got FRAMES stamped pictures and none was wrong.
 *
 *   media-camera info
 *   media-camera stream [-s WxH] [-f FOURCC] [-m mmap|userptr] [-b BUFFERS] [-n FRAMES] [-p PROGRESS-FILE] [-c] [-a]
 *     -a  frames count with and without a stamp
 *     -c  a child process that inherited the mappings ends after the first frame
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/videodev2.h>
#include "framepass_media.h"

#define NODE "/dev/framepass-media"
#define OPEN 1
#define IOCTL 3
#define MMAP 4
#define STAMP 32
#define MAGIC 0x46505331
#define PAGE 4096
#define MOST_BUFFERS 32
#define MOST_ENTRIES 2048

struct entry {
	__u64 address;
	__u32 length, reserved;
};

struct buffer {
	unsigned char *at;
	__u32 length, entries;
	struct entry *list; /* where it is in guest memory, for USERPTR */
};

static int fd;
static __u32 session;
static struct buffer buffers[MOST_BUFFERS];

static void fail(const char *what)
{
	fprintf(stderr, "media-camera: %s: %s\n", what, strerror(errno));
	exit(1);
}

static __u32 crc_tables[8][256];

static void make_crc(void)
{
	for (__u32 i = 0; i < 256; i++) {
		__u32 crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
		crc_tables[0][i] = crc;
	}
	for (int table = 1; table < 8; table++)
		for (int i = 0; i < 256; i++) {
			__u32 crc = crc_tables[table - 1][i];

			crc_tables[table][i] = crc >> 8 ^ crc_tables[0][crc & 0xff];
		}
}

static __u32 crc_of(const unsigned char *bytes, size_t length)
{
	__u32 crc = ~0u;

	for (; length >= 8; length -= 8, bytes += 8) {
		__u32 low, high;

		memcpy(&low, bytes, 4);
		memcpy(&high, bytes + 4, 4);
		low ^= crc;
		crc = crc_tables[7][low & 0xff] ^ crc_tables[6][low >> 8 & 0xff] ^
		      crc_tables[5][low >> 16 & 0xff] ^ crc_tables[4][low >> 24] ^
		      crc_tables[3][high & 0xff] ^ crc_tables[2][high >> 8 & 0xff] ^
		      crc_tables[1][high >> 16 & 0xff] ^ crc_tables[0][high >> 24];
	}
	while (length-- > 0)
		crc = crc >> 8 ^ crc_tables[0][(crc ^ *bytes++) & 0xff];
	return ~crc;
}

static __u32 big(const unsigned char *at)
{
	__u32 value;

	memcpy(&value, at, 4);
	return be32toh(value);
}

/* Sends a command; its used length. The status of the answer goes to errno, as a negative result does. */
static int command(void *request, __u32 size, void *answer, __u32 room)
{
	struct media_command m = {
		.request = (unsigned long)request,
		.answer = (unsigned long)answer,
		.request_size = size,
		.answer_size = room,
	};
	__u32 status;

	if (ioctl(fd, MEDIA_COMMAND, &m) < 0)
		return -1;
	if (room == 0)
		return 0;
	memcpy(&status, answer, 4);
	if (status != 0) {
		errno = status;
		return -1;
	}
	return m.used;
}

static void open_session(void)
{
	__u32 request[2] = { OPEN }, answer[4];

	if (command(request, sizeof(request), answer, sizeof(answer)) != sizeof(answer))
		fail("OPEN");
	session = answer[2];
	if (ioctl(fd, MEDIA_CLOSES, &session) < 0)
		fail("MEDIA_CLOSES");
}

/* An ioctl of V4L2, with entries of guest memory behind its structure. */
static int camera(unsigned long what, void *argument, const struct buffer *memory)
{
	static unsigned char request[16 + 256 + MOST_ENTRIES * sizeof(struct entry)], answer[8 + 256];
	__u32 size = _IOC_SIZE(what), head[4] = { IOCTL, 0, session, _IOC_NR(what) };
	__u32 in = _IOC_DIR(what) & _IOC_WRITE ? size : 0, out = _IOC_DIR(what) & _IOC_READ ? size : 0;
	__u32 list = memory ? memory->entries * sizeof(struct entry) : 0;
	int used;

	memcpy(request, head, sizeof(head));
	memcpy(request + 16, argument, in);
	if (list > 0)
		memcpy(request + 16 + in, memory->list, list);
	used = command(request, 16 + in + list, answer, 8 + out);
	if (used < 0)
		return -1;
	if (used < (int)(8 + out)) {
		errno = EPROTO;
		return -1;
	}
	memcpy(argument, answer + 8, out);
	return 0;
}

/* Where pages of this process are in guest memory. */
static void find_pages(struct buffer *b)
{
	int map = open("/proc/self/pagemap", O_RDONLY);
	__u32 pages = (b->length + PAGE - 1) / PAGE;

	if (map < 0)
		fail("/proc/self/pagemap");
	b->list = calloc(pages, sizeof(*b->list));
	for (__u32 i = 0; i < pages; i++) {
		__u32 length = i + 1 < pages ? PAGE : b->length - i * PAGE;
		struct entry *last = b->list + b->entries - 1;
		__u64 word, address;

		if (pread(map, &word, 8, ((unsigned long)b->at / PAGE + i) * 8) != 8)
			fail("pagemap");
		address = (word & ((1ull << 55) - 1)) * PAGE;
		if (b->entries > 0 && last->address + last->length == address)
			last->length += length;
		else
			b->list[b->entries++] = (struct entry){ address, length, 0 };
	}
	if (b->entries > MOST_ENTRIES) {
		errno = ENOMEM;
		fail("pages of a buffer");
	}
	close(map);
}

static void map_buffer(struct buffer *b, __u32 offset)
{
	__u32 request[5] = { MMAP, 0, session, 1, offset };
	__u64 answer[3];

	if (command(request, sizeof(request), answer, sizeof(answer)) != sizeof(answer))
		fail("MMAP");
	b->at = mmap(NULL, answer[2], PROT_READ | PROT_WRITE, MAP_SHARED, fd, answer[1]);
	if (b->at == MAP_FAILED)
		fail("mmap");
}

static void make_buffer(__u32 index, __u32 memory, __u32 length)
{
	struct buffer *b = &buffers[index];
	struct v4l2_buffer v = { .index = index, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = memory };

	b->length = length;
	if (memory == V4L2_MEMORY_USERPTR) {
		b->at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (b->at == MAP_FAILED || mlock(b->at, length) < 0)
			fail("memory of a buffer");
		memset(b->at, 0xee, length);
		find_pages(b);
		return;
	}
	if (camera(VIDIOC_QUERYBUF, &v, NULL) < 0)
		fail("VIDIOC_QUERYBUF");
	if (v.length < length) {
		errno = EPROTO;
		fail("length of a buffer");
	}
	map_buffer(b, v.m.offset);
	for (__u32 i = 0; i < length; i++)
		if (b->at[i] != 0) {
			errno = EPROTO;
			fail("a new buffer is not zero");
		}
}

static void queue(__u32 index, __u32 memory)
{
	struct buffer *b = &buffers[index];
	struct v4l2_buffer v = {
		.index = index,
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = memory,
		.length = b->length,
	};

	if (memory == V4L2_MEMORY_USERPTR)
		v.m.userptr = (unsigned long)b->at;
	if (camera(VIDIOC_QBUF, &v, memory == V4L2_MEMORY_USERPTR ? b : NULL) < 0)
		fail("VIDIOC_QBUF");
}

/* What was seen. */
static struct {
	unsigned int frames, stamped, cards, torn, frozen, gaps, wrong;
	long long first, last;
	__u32 sequence;
} seen = { .first = -1, .last = -1 };

static void check(const unsigned char *picture, __u32 length)
{
	long long sequence;

	if (length <= STAMP || big(picture) != MAGIC) {
		seen.cards++; /* the stand-by card has no stamp */
		return;
	}
	if (big(picture + 28) != crc_of(picture, 28) ||
	    big(picture + 16) != crc_of(picture + STAMP, length - STAMP)) {
		seen.torn++;
		return;
	}
	sequence = (long long)big(picture + 8) << 32 | big(picture + 12);
	if (seen.first < 0)
		seen.first = sequence;
	else if (sequence == seen.last)
		seen.frozen++;
	else if (sequence != seen.last + 1)
		seen.gaps++;
	seen.last = sequence;
	seen.stamped++;
}

static void take_frame(__u32 memory, const char *progress)
{
	unsigned char event[MEDIA_EVENT];
	struct v4l2_buffer v;
	__u32 head[2];
	ssize_t r = read(fd, event, sizeof(event));

	if (r < 0)
		fail("waiting for a frame");
	memcpy(head, event, sizeof(head));
	memcpy(&v, event + 8, sizeof(v));
	if (r >= 8 && head[1] != session)
		return; /* of a program that was killed */
	/* Pictures that came while no buffer was there are counted, too. */
	if (r != MEDIA_EVENT || head[0] != 1 || v.index >= MOST_BUFFERS || !buffers[v.index].at ||
	    v.bytesused > buffers[v.index].length || (seen.frames > 0 && v.sequence <= seen.sequence)) {
		seen.wrong++;
		return;
	}
	seen.sequence = v.sequence;
	check(buffers[v.index].at, v.bytesused);
	seen.frames++;
	queue(v.index, memory);
	if (progress) {
		FILE *file = fopen(progress, "w");

		if (file) {
			fprintf(file, "%u %u %u\n", seen.frames, seen.stamped, seen.cards);
			fclose(file);
		}
	}
}

static int stream(int argc, char **argv)
{
	unsigned int width = 640, height = 480, count = 4, frames = 30, child = 0, any = 0;
	__u32 memory = V4L2_MEMORY_MMAP, type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	const char *fourcc = "YUYV", *progress = NULL;
	struct v4l2_format format = { .type = type };
	struct v4l2_requestbuffers request;
	int option;

	while ((option = getopt(argc, argv, "s:f:m:b:n:p:ca")) > 0) {
		if (option == 's' && sscanf(optarg, "%ux%u", &width, &height) != 2)
			return 2;
		if (option == 'f' && strlen(fourcc = optarg) != 4)
			return 2;
		if (option == 'm' && strcmp(optarg, "userptr") == 0)
			memory = V4L2_MEMORY_USERPTR;
		if (option == 'b')
			count = atoi(optarg);
		if (option == 'n')
			frames = atoi(optarg);
		if (option == 'p')
			progress = optarg;
		if (option == 'c')
			child = 1;
		if (option == 'a')
			any = 1;
		if (option == '?' || count < 1 || count > MOST_BUFFERS)
			return 2;
	}
	open_session();
	format.fmt.pix.width = width;
	format.fmt.pix.height = height;
	format.fmt.pix.pixelformat = v4l2_fourcc(fourcc[0], fourcc[1], fourcc[2], fourcc[3]);
	if (camera(VIDIOC_S_FMT, &format, NULL) < 0)
		fail("VIDIOC_S_FMT");
	if (format.fmt.pix.width != width || format.fmt.pix.height != height) {
		errno = EPROTO;
		fail("size");
	}
	request = (struct v4l2_requestbuffers){ .count = count, .type = type, .memory = memory };
	if (camera(VIDIOC_REQBUFS, &request, NULL) < 0)
		fail("VIDIOC_REQBUFS");
	if (request.count != count) {
		errno = ENOMEM;
		fail("buffers");
	}
	for (__u32 i = 0; i < count; i++) {
		make_buffer(i, memory, format.fmt.pix.sizeimage);
		queue(i, memory);
	}
	if (camera(VIDIOC_STREAMON, &type, NULL) < 0)
		fail("VIDIOC_STREAMON");
	while ((any ? seen.frames : seen.stamped) < frames && seen.wrong == 0) {
		take_frame(memory, progress);
		if (child && seen.frames == 1) {
			pid_t pid = fork();

			if (pid == 0)
				_exit(0);
			waitpid(pid, NULL, 0);
		}
	}
	if (camera(VIDIOC_STREAMOFF, &type, NULL) < 0)
		fail("VIDIOC_STREAMOFF");
	if (memory == V4L2_MEMORY_MMAP)
		for (__u32 i = 0; i < count; i++)
			munmap(buffers[i].at, buffers[i].length);
	request.count = 0;
	if (camera(VIDIOC_REQBUFS, &request, NULL) < 0)
		fail("VIDIOC_REQBUFS(0)");
	printf("frames=%u stamped=%u cards=%u torn=%u frozen=%u gaps=%u wrong=%u first=%lld last=%lld\n",
	       seen.frames, seen.stamped, seen.cards, seen.torn, seen.frozen, seen.gaps, seen.wrong, seen.first,
	       seen.last);
	return seen.wrong > 0 || seen.torn > 0 || seen.frozen > 0;
}

static int info(void)
{
	struct v4l2_fmtdesc format = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE };
	struct media_info i;

	if (ioctl(fd, MEDIA_INFO, &i) < 0)
		fail("MEDIA_INFO");
	open_session();
	printf("card=%.32s\nregion=%llu\nlate=%u\ntimeouts=%u\nformats=", i.config + 8,
	       (unsigned long long)i.region, i.late, i.timeouts);
	for (; camera(VIDIOC_ENUM_FMT, &format, NULL) == 0; format.index++)
		printf("%s%.4s", format.index > 0 ? "," : "", (const char *)&format.pixelformat);
	printf("\n");
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	make_crc();
	fd = open(NODE, O_RDWR);
	if (fd < 0)
		fail(NODE);
	if (strcmp(what, "info") == 0)
		return info();
	if (strcmp(what, "stream") == 0)
		return stream(argc - 1, argv + 1);
	return 2;
}
