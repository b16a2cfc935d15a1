// The fair peer of `bun run bench media`: what any virtio-media back-end must do for a picture of sender_zc, and nothing else. It receives
// the sender's 48 bytes on the same Unix socket, copies the picture from the sender's memfd into one of its own, sends 24 bytes that return
// the sender's buffer, and signals an eventfd (the event). Then the guest kicks two eventfds, one for the event buffer and one for QBUF:
// both are read, and QBUF is answered with a signal. It reads no ring, checks nothing, and serves one stream. The guest is a child process,
// whose time is not counted.
// usage: media-copy SOCKET WARM FRAMES: the first WARM pictures are not counted. Prints one line of JSON.
#define _GNU_SOURCE
#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include "bench-events.h"

#define HANDLE 16040
#define MOST 64
#define OURS 4

static uint8_t *theirs[MOST], *ours[OURS];
static uint64_t names[MOST];
static int event_call, command_call, event_kick, command_kick;

static void await_event(int fd)
{
	uint64_t count;
	if (read(fd, &count, 8) != 8)
		fail("read from an eventfd");
}

static double seconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static uint32_t word(const uint8_t *at)
{
	uint32_t value;
	memcpy(&value, at, 4);
	return be32toh(value);
}

static uint8_t *map(int fd, size_t length)
{
	uint8_t *at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		fail("mmap");
	return at;
}

static void receive(int socket, uint8_t *to, size_t length, int *passed)
{
	for (size_t got = 0; got < length;) {
		uint8_t control[CMSG_SPACE(sizeof(int))];
		struct iovec piece = { to + got, length - got };
		struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		ssize_t r = recvmsg(socket, &message, 0);
		if (r <= 0)
			fail("recvmsg");
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		if (c != NULL && passed != NULL)
			memcpy(passed, CMSG_DATA(c), sizeof(int));
		got += r;
	}
}

// The guest: takes each event, posts its buffer again and queues the picture's buffer again, then waits for the answer.
static void guest(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		await_event(event_call);
		raise_event(event_kick);
		raise_event(command_kick);
		await_event(command_call);
	}
}

static void watch(int epoll, int fd)
{
	struct epoll_event wanted = { .events = EPOLLIN, .data.fd = fd };
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted) < 0)
		fail("epoll_ctl");
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	long warm = atol(argv[2]), frames = atol(argv[3]);
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	strncpy(at.sun_path, argv[1], sizeof(at.sun_path) - 1);
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (listener < 0 || bind(listener, (void *)&at, sizeof(at)) < 0 || listen(listener, 1) < 0)
		fail("listen");
	fprintf(stderr, "listening\n");
	int socket = accept(listener, NULL, NULL);
	if (socket < 0)
		fail("accept");
	static uint8_t message[HANDLE];
	receive(socket, message, 28, NULL);
	size_t length = word(message + 20);
	uint32_t count = word(message + 24);
	if (count > MOST)
		return 2;
	for (uint32_t i = 0; i < count; i++) {
		int fd = -1;
		receive(socket, message, HANDLE, &fd);
		memcpy(&names[i], message + 8, 8);
		theirs[i] = map(fd, length);
	}
	for (int i = 0; i < OURS; i++) {
		int fd = memfd_create("media-copy", 0);
		if (fd < 0 || ftruncate(fd, length) < 0)
			fail("memfd_create");
		ours[i] = map(fd, length);
	}
	event_call = event();
	command_call = event();
	event_kick = event();
	command_kick = event();
	if (fork() == 0)
		guest();
	int epoll = epoll_create1(0);
	watch(epoll, socket);
	watch(epoll, event_kick);
	watch(epoll, command_kick);
	double cpu = 0, start = 0;
	for (long done = 0, free = OURS; done < warm + frames;) {
		struct epoll_event ready[4];
		int n = epoll_wait(epoll, ready, 4, -1);
		for (int i = 0; i < n; i++) {
			int fd = ready[i].data.fd;
			if (fd != socket) {
				await_event(fd);
				if (fd == command_kick) {
					free++;
					raise_event(command_call);
				}
				continue;
			}
			uint8_t frame[48], answer[24] = { 0 };
			if (recv(socket, frame, 48, 0) != 48)
				fail("recv");
			uint32_t index = 0;
			while (index < count && memcmp(&names[index], frame + 16, 8) != 0)
				index++;
			if (index == count || word(frame + 8) != length) {
				fprintf(stderr, "picture %ld is in no buffer\n", done);
				return 1;
			}
			if (done == warm) {
				cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
				start = seconds(CLOCK_MONOTONIC);
			}
			if (free > 0)
				memcpy(ours[done % OURS], theirs[index], length);
			memcpy(answer, frame, 4);
			memcpy(answer + 8, frame + 16, 16);
			if (send(socket, answer, 24, MSG_NOSIGNAL) != 24)
				fail("send");
			if (free < 1)
				continue; // the guest was late: the picture is left out
			free--;
			done++;
			raise_event(event_call);
		}
	}
	printf("{\"frames\":%ld,\"cpuSeconds\":%.6f,\"seconds\":%.3f}\n", frames,
	       seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu, seconds(CLOCK_MONOTONIC) - start);
	return 0;
}
