// A relay that delays what passes, in both directions: it stands for the distance between two machines where the kernel
// has no netem. One connection, from a loopback port to another one.
// usage: delay LISTEN_PORT TARGET_PORT MICROSECONDS
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 65536, CHUNKS = 2048 };

struct chunk {
	int64_t due;
	int length, sent;
	char bytes[CHUNK];
};

/* The bytes in flight from one side to the other. */
struct way {
	int from, to, ended, closed;
	unsigned head, tail;
	struct chunk *chunks;
};

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void take(struct way *w, int64_t delay)
{
	while (!w->ended && w->head - w->tail < CHUNKS) {
		struct chunk *c = &w->chunks[w->head % CHUNKS];
		ssize_t n = recv(w->from, c->bytes, CHUNK, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0)
			w->ended = 1;
		c->length = n <= 0 ? 0 : (int)n;
		c->sent = 0;
		c->due = now_ns() + delay;
		w->head++;
	}
}

/* Passes on what is due. Answers when more is due, -1 for never, 0 when the other side takes no more. */
static int64_t give(struct way *w)
{
	while (w->head != w->tail) {
		struct chunk *c = &w->chunks[w->tail % CHUNKS];
		if (c->due > now_ns())
			return c->due;
		if (c->length == 0) {
			shutdown(w->to, SHUT_WR);
			w->closed = 1;
		}
		while (c->sent < c->length) {
			ssize_t n = send(w->to, c->bytes + c->sent, c->length - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
			if (n < 0 && errno == EAGAIN)
				return 0;
			if (n < 0)
				exit(0); /* the stream is over */
			c->sent += n;
		}
		w->tail++;
	}
	return -1;
}

static int tcp(int port, struct sockaddr_in *at)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	*at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
	at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return fd;
}

int main(int argc, char **argv)
{
	struct sockaddr_in at;
	int one = 1;
	if (argc != 4)
		return 2;
	prctl(PR_SET_PDEATHSIG, 9);
	prctl(PR_SET_TIMERSLACK, 1);
	int listener = tcp(atoi(argv[1]), &at);
	if (bind(listener, (void *)&at, sizeof(at)) || listen(listener, 1))
		die("listen");
	fprintf(stderr, "listening\n");
	int near = accept(listener, NULL, NULL);
	int far = tcp(atoi(argv[2]), &at);
	if (near < 0 || connect(far, (void *)&at, sizeof(at)))
		die("connect");
	setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	int64_t delay = atoll(argv[3]) * 1000;
	struct way ways[2] = { { .from = near, .to = far }, { .from = far, .to = near } };
	for (int i = 0; i < 2; i++)
		if (!(ways[i].chunks = malloc(CHUNKS * sizeof(struct chunk))))
			die("malloc");
	while (!ways[0].closed || !ways[1].closed) {
		struct pollfd polls[2] = { { .fd = near }, { .fd = far } };
		int64_t next = INT64_MAX;
		for (int i = 0; i < 2; i++) {
			take(&ways[i], delay);
			int64_t due = give(&ways[i]);
			if (due == 0)
				polls[1 - i].events |= POLLOUT;
			else if (due > 0 && due < next)
				next = due;
			if (!ways[i].ended && ways[i].head - ways[i].tail < CHUNKS)
				polls[i].events |= POLLIN;
		}
		for (int i = 0; i < 2; i++)
			if (polls[i].events == 0)
				polls[i].fd = -1; /* or its hang-up would wake us for ever */
		int64_t left = next - now_ns();
		if (left < 0)
			left = 0;
		struct timespec wait = { left / 1000000000, left % 1000000000 };
		ppoll(polls, 2, next == INT64_MAX ? NULL : &wait, NULL);
	}
	return 0;
}
