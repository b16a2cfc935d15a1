// The baseline of `bun run bench copy`: a plain C sender and receiver. Two send calls per frame from a
// memfd, received in place into memfds. usage: copy send|receive PORT FRAME_BYTES FRAMES
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
#define HELLO 28
#define HEADER 40

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

static void send_all(int fd, const uint8_t *at, size_t size)
{
	while (size > 0) {
		ssize_t r = send(fd, at, size, MSG_NOSIGNAL);
		if (r <= 0)
			fail("send");
		at += r;
		size -= r;
	}
}

static int receive_all(int fd, uint8_t *at, size_t size)
{
	while (size > 0) {
		ssize_t r = recv(fd, at, size, 0);
		if (r < 0)
			fail("recv");
		if (r == 0)
			return 0;
		at += r;
		size -= r;
	}
	return 1;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static double cpu(const struct rusage *used)
{
	return used->ru_utime.tv_sec + used->ru_stime.tv_sec +
	       (used->ru_utime.tv_usec + used->ru_stime.tv_usec) * 1e-6;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	int sending = strcmp(argv[1], "send") == 0;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[2])) };
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	size_t size = strtoull(argv[3], NULL, 10);
	long frames = atol(argv[4]), done = 0;
	uint8_t *buffers[BUFFERS], hello[HELLO] = { 0 }, header[HEADER] = { 0 };
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
	struct rusage used;
	getrusage(RUSAGE_SELF, &used);
	double start = now(), before = cpu(&used);
	if (sending) {
		send_all(fd, hello, HELLO);
		for (; done < frames; done++) {
			send_all(fd, header, HEADER);
			send_all(fd, buffers[done % BUFFERS], size);
		}
	} else if (receive_all(fd, hello, HELLO)) {
		while (receive_all(fd, header, HEADER) && receive_all(fd, buffers[done % BUFFERS], size))
			done++;
	}
	getrusage(RUSAGE_SELF, &used);
	printf("{\"frames\":%ld,\"seconds\":%f,\"cpuSeconds\":%f,\"rssMib\":%ld}\n", done, now() - start,
	       cpu(&used) - before,
	       used.ru_maxrss / 1024);
	return 0;
}
