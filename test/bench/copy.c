// The baseline of `bun run bench copy`: a plain C sender and receiver that speak the protocol of the copy flow. Two send
// calls per frame, from four memfds in turn. The receiver blocks in recv until it has all (MSG_WAITALL is a little faster than without)
// and receives each picture in place into one memfd, as our receiver does. What comes before the first tenth of the frames is not counted.
// usage: copy send|receive PORT WIDTH HEIGHT FRAMES
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFERS 4

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint8_t *buffer(size_t size)
{
	int fd = memfd_create("baseline", 0);
	if (fd < 0 || ftruncate(fd, size) < 0)
		fail("memfd");
	uint8_t *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		fail("mmap");
	memset(at, 0x80, size);
	return at;
}

static void send_all(int fd, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	while (size > 0) {
		ssize_t r = send(fd, at, size, MSG_NOSIGNAL);
		if (r <= 0)
			fail("send");
		at += r;
		size -= r;
	}
}

static int receive_all(int fd, void *bytes, size_t size)
{
	uint8_t *at = bytes;
	while (size > 0) {
		ssize_t r = recv(fd, at, size, MSG_WAITALL);
		if (r < 0)
			fail("recv");
		if (r == 0)
			return 0;
		at += r;
		size -= r;
	}
	return 1;
}

static struct rusage used;
static double started, before;
static long counted;

static double cpu(void)
{
	getrusage(RUSAGE_SELF, &used);
	return used.ru_utime.tv_sec + used.ru_stime.tv_sec +
	       (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

/* Called after each frame. Counts from the end of the first tenth. */
static void count(long done, long frames)
{
	if (done != (frames + 9) / 10) {
		counted++;
		return;
	}
	counted = 0;
	started = now();
	before = cpu();
}

int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	int sending = strcmp(argv[1], "send") == 0;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[2])) };
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	uint32_t width = atoi(argv[3]), height = atoi(argv[4]), size = width * height * 2;
	long frames = atol(argv[5]), done = 0;
	/* docs/protocol.md; 0x56595559 is YUYV */
	uint32_t hello[7] = { htonl(0x56344c42), htonl(2), htonl(width), htonl(height), htonl(0x56595559),
			      htonl(size), htonl(BUFFERS) };
	uint32_t header[10] = { htonl(0x5652464d), 0, htonl(size) };
	uint8_t *buffers[BUFFERS];
	for (int i = 0; i < BUFFERS; i++)
		buffers[i] = buffer(size);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (sending) {
		if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
			fail("connect");
	} else {
		int on = 1, listener = fd;
		setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(listener, (struct sockaddr *)&to, sizeof(to)) < 0 || listen(listener, 1) < 0)
			fail("listen");
		fputs("listening\n", stderr);
		fd = accept(listener, NULL, NULL);
	}
	if (fd < 0)
		fail("socket");
	if (sending) {
		send_all(fd, hello, sizeof(hello));
		for (; done < frames; count(++done, frames)) {
			header[5] = htonl(done);
			send_all(fd, header, sizeof(header));
			send_all(fd, buffers[done % BUFFERS], size);
		}
	} else if (receive_all(fd, hello, sizeof(hello))) {
		while (receive_all(fd, header, sizeof(header)) && receive_all(fd, buffers[0], size))
			count(++done, frames);
	}
	double cpu_seconds = cpu() - before;
	printf("{\"frames\":%ld,\"seconds\":%f,\"cpuSeconds\":%f,\"rssMib\":%ld}\n", counted,
	       now() - started, cpu_seconds, used.ru_maxrss / 1024);
	return 0;
}
