// Round trips of `bun run bench video`, in microseconds as one line of JSON. usage:
//   rings COUNT CPU CPU        two threads, each on its processor, an eventfd each way
//   rings COUNT CPU SOCKET     a command of a virtio-video driver to a vhost-user back-end: from the kick to its interrupt
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "bench-events.h"

#define RING 64
#define MEMORY (1 << 20)
#define USER 0x7f0000000000ULL
#define DESCRIPTORS 0
#define AVAILABLE 0x1000
#define USED 0x2000
#define REQUEST 0x4000
#define ANSWER 0x5000
#define TABLE 0x6000
#define EVENT_QUEUE 0x10000
#define FEATURES 0x170000003ULL

struct descriptor {
	uint64_t at;
	uint32_t length;
	uint16_t flags, next;
};

static uint8_t *memory;
static int kick, call, spare;

static void await_event(int fd)
{
	uint64_t count;
	while (read(fd, &count, 8) != 8) {
		// The back-end makes the descriptor non-blocking, for both of them.
		struct pollfd readable = { fd, POLLIN, 0 };
		if (errno != EAGAIN || poll(&readable, 1, 10000) != 1)
			fail("read from an eventfd");
	}
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec * 1e-3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

#define FIRST 10000

// The value below which 99 of 100 of a part are.
static double p99(const double *took, long count)
{
	double part[FIRST];
	if (count > FIRST)
		count = FIRST;
	memcpy(part, took, count * sizeof(*part));
	qsort(part, count, sizeof(*part), compare);
	return part[count * 99 / 100];
}

// Runs `once` a tenth more often than `count` and records how long each took. That tenth is not in p50, p99 and max;
// first99 is of the first FIRST, last99 of the last FIRST of all.
static void measure(void (*once)(void), long count)
{
	long before = count / 10, all = before + count;
	double *took = calloc(all, sizeof(*took)), *counted = took + before;
	for (long i = 0; i < all; i++) {
		double from = now();
		once();
		took[i] = now() - from;
	}
	double first = p99(took, all), last = p99(took + (all > FIRST ? all - FIRST : 0), all);
	qsort(counted, count, sizeof(*took), compare);
	printf("{\"count\":%ld,\"p50\":%.2f,\"p99\":%.2f,\"max\":%.2f,\"first99\":%.2f,\"last99\":%.2f}\n",
	       count, counted[count / 2], counted[count * 99 / 100], counted[count - 1], first, last);
}

static void stay_on(int processor)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		fail("sched_setaffinity");
}

static void *echo(void *processor)
{
	stay_on(*(int *)processor);
	for (;;) {
		await_event(kick);
		raise_event(call);
	}
	return NULL;
}

static void ping(void)
{
	raise_event(kick);
	await_event(call);
}

static void say(int socket, uint32_t request, const void *payload, uint32_t size, int fd)
{
	uint8_t bytes[12 + 64], control[CMSG_SPACE(sizeof(int))] = { 0 };
	uint32_t header[3] = { request, 1, size };
	struct iovec piece = { bytes, 12 + size };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	memcpy(bytes, header, 12);
	memcpy(bytes + 12, payload, size);
	if (fd >= 0) {
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	if (sendmsg(socket, &message, MSG_NOSIGNAL) != (ssize_t)(12 + size))
		fail("sendmsg");
}

static void start_ring(int socket, uint32_t index, uint64_t at, int kick_fd, int call_fd)
{
	uint64_t ring = index;
	uint32_t size[2] = { index, RING }, base[2] = { index, 0 }, enable[2] = { index, 1 };
	struct {
		uint32_t index, flags;
		uint64_t descriptors, used, available, log;
	} addresses = { index, 0, USER + at + DESCRIPTORS, USER + at + USED, USER + at + AVAILABLE, 0 };
	say(socket, 8, size, 8, -1);
	say(socket, 10, base, 8, -1);
	say(socket, 9, &addresses, 40, -1);
	say(socket, 13, &ring, 8, call_fd);
	say(socket, 12, &ring, 8, kick_fd);
	say(socket, 18, enable, 8, -1);
}

static void set_up(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int file = memfd_create("guest-ram", 0), fd = socket(AF_UNIX, SOCK_STREAM, 0);
	uint64_t protocol = 0x209, features = FEATURES;
	uint64_t table[5] = { 1, 0, MEMORY, USER, 0 };
	strncpy(to.sun_path, path, sizeof(to.sun_path) - 1);
	if (file < 0 || ftruncate(file, MEMORY) < 0)
		fail("memfd");
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (memory == MAP_FAILED)
		fail("mmap");
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("connect");
	say(fd, 16, &protocol, 8, -1);
	say(fd, 3, NULL, 0, -1);
	say(fd, 2, &features, 8, -1);
	say(fd, 5, table, 40, file);
	start_ring(fd, 0, 0, kick, call);
	start_ring(fd, 1, EVENT_QUEUE, spare, spare);
}

// A command as Linux sends it: one indirect chain of two parts, with an interrupt for its answer.
static void command(void)
{
	struct descriptor *head = (void *)(memory + DESCRIPTORS), *table = (void *)(memory + TABLE);
	_Atomic uint16_t *index = (void *)(memory + AVAILABLE + 2);
	_Atomic uint16_t *used = (void *)(memory + USED + 2);
	uint16_t *heads = (void *)(memory + AVAILABLE + 4);
	_Atomic uint16_t *used_event = (void *)(memory + AVAILABLE + 4 + 2 * RING);
	uint16_t next = atomic_load(index);
	table[0] = (struct descriptor){ REQUEST, 88, 1, 1 };
	table[1] = (struct descriptor){ ANSWER, 512, 2, 0 };
	head[0] = (struct descriptor){ TABLE, 32, 4, 0 };
	heads[next % RING] = 0;
	atomic_store(used_event, next);
	atomic_store(index, (uint16_t)(next + 1));
	raise_event(kick);
	while (atomic_load(used) != (uint16_t)(next + 1))
		await_event(call);
}

static void params(void)
{
	command();
	if (*(uint32_t *)(memory + ANSWER) != 0x203) {
		fprintf(stderr, "GET_PARAMS_EXT was answered 0x%x\n", *(uint32_t *)(memory + ANSWER));
		exit(1);
	}
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	long count = atol(argv[1]);
	kick = event();
	call = event();
	spare = event();
	stay_on(atoi(argv[2]));
	if (argv[3][0] != '/') {
		pthread_t other;
		int processor = atoi(argv[3]);
		if (pthread_create(&other, NULL, echo, &processor) != 0)
			fail("pthread_create");
		measure(ping, count);
		return 0;
	}
	set_up(argv[3]);
	uint32_t create[22] = { 0x101, 1, 0, 0, 0x1006 }, get[4] = { 0x10d, 1, 0x100 };
	memcpy(memory + REQUEST, create, sizeof(create));
	command();
	if (*(uint32_t *)(memory + ANSWER) != 0x200)
		fail("STREAM_CREATE");
	fcntl(call, F_SETFL, 0); // wait as the threads do
	memset(memory + REQUEST, 0, 88);
	memcpy(memory + REQUEST, get, sizeof(get));
	measure(params, count);
	return 0;
}
