// The physical limit beside `bun run bench peers`: copies frames in memory, without a stream. usage: memcpy BYTES FRAMES PASSES
// One pass is what shared memory with one copy needs; two are what a socket needs: into the kernel and out of it.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUFFERS 4

/** Buffers of a stream: memory of a file, as both tools and their peers use. */
static uint8_t *buffers(size_t bytes)
{
	int fd = memfd_create("memcpy", 0);
	if (fd < 0 || ftruncate(fd, bytes * BUFFERS) != 0) {
		perror("memfd");
		exit(1);
	}
	uint8_t *all = mmap(NULL, bytes * BUFFERS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (all == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	memset(all, 0x80, bytes * BUFFERS);
	return all;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: memcpy BYTES FRAMES PASSES\n");
		return 2;
	}
	size_t bytes = strtoul(argv[1], NULL, 10);
	long frames = atol(argv[2]);
	int passes = atoi(argv[3]);
	uint8_t *stages[3];
	for (int i = 0; i <= passes && i < 3; i++)
		stages[i] = buffers(bytes);
	for (long n = 0; n < frames; n++) {
		size_t at = (n % BUFFERS) * bytes;
		for (int i = 0; i < passes; i++)
			memcpy(stages[i + 1] + at, stages[i] + at, bytes);
	}
	return stages[passes][bytes - 1] == 0x80 ? 0 : 1;
}
