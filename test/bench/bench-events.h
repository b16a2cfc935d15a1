// What the C programs of the benches have in common: eventfds, the end after a failed call.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int event(void)
{
	int fd = eventfd(0, 0);
	if (fd < 0)
		fail("eventfd");
	return fd;
}

static void raise_event(int fd)
{
	uint64_t one = 1;
	if (write(fd, &one, 8) != 8)
		fail("write to an eventfd");
}
