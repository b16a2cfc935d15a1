/* Sends as a sender_zc in C does: hello, a handle per buffer, then frame after frame, each after its acknowledgement. Needs almost
 * no time of its own, so what it measures is the receiver's. usage: lender SOCKET FRAMES
 * Prints the milliseconds to each acknowledgement; exit status 1 with the failed call's name. */
#define _GNU_SOURCE
#include <endian.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 1920, HEIGHT = 1080, SIZE = WIDTH * HEIGHT * 2, BUFFERS = 4, HANDLE = 16040, DESCRIPTOR = 0x00010000 };

static void must(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void put32(unsigned char *message, int at, uint32_t value)
{
	value = htobe32(value);
	memcpy(message + at, &value, 4);
}

static void put(int fd, const unsigned char *message, size_t size, int passed)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec vector = { .iov_base = (void *)message, .iov_len = size };
	struct msghdr packet = { .msg_iov = &vector, .msg_iovlen = 1 };

	if (passed >= 0) {
		packet.msg_control = &control;
		packet.msg_controllen = sizeof(control.bytes);
		memcpy(CMSG_DATA(&control.header), &passed, sizeof(int));
	}
	must(sendmsg(fd, &packet, 0) == (ssize_t)size, "sendmsg");
}

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	static unsigned char handle[HANDLE];
	unsigned char hello[28] = { 0 }, frame[48] = { 0 }, ack[24];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int frames, i;

	if (argc != 3)
		return 2;
	frames = atoi(argv[2]);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
	must(!connect(fd, (struct sockaddr *)&address, sizeof(address)), "connect");

	put32(hello, 0, 0x56344c42);
	put32(hello, 4, 2);
	put32(hello, 8, WIDTH);
	put32(hello, 12, HEIGHT);
	memcpy(hello + 16, "VYUY", 4); /* YUYV, big endian */
	put32(hello, 20, SIZE);
	put32(hello, 24, BUFFERS);
	put(fd, hello, sizeof(hello), -1);
	for (i = 0; i < BUFFERS; i++) {
		int memory = memfd_create("frame", MFD_CLOEXEC | MFD_ALLOW_SEALING);

		must(memory >= 0 && !ftruncate(memory, SIZE) && !fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK), "memfd");
		put32(handle, 0, 0x56484e44);
		put32(handle, 4, DESCRIPTOR);
		put32(handle, 12, i + 1);
		put32(handle, 20, SIZE);
		put(fd, handle, sizeof(handle), memory);
		close(memory);
	}
	for (i = 0; i < frames; i++) {
		double from = now_ms();

		put32(frame, 0, 0x5652464d);
		put32(frame, 4, i % BUFFERS);
		put32(frame, 8, SIZE);
		put32(frame, 20, i % BUFFERS + 1);
		put32(frame, 28, i);
		put(fd, frame, sizeof(frame), -1);
		must(recv(fd, ack, sizeof(ack), MSG_WAITALL) == (ssize_t)sizeof(ack), "recv");
		printf("%.0f\n", now_ms() - from);
		usleep(30000);
	}
	return 0;
}
