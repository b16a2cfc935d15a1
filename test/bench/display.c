// The baseline of `bun run bench display`: a plain C program with SDL's software renderer. Frames of YUYV
// in memory, SDL_UpdateTexture, SDL_RenderCopy, SDL_RenderPresent. Its few prototypes are written out here, so that
// it needs SDL's library but not its headers. usage: display WIDTH HEIGHT FRAMES
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define SDL_INIT_VIDEO 0x20u
#define SDL_WINDOWPOS_CENTERED 0x2fff0000
#define SDL_RENDERER_SOFTWARE 1u
#define SDL_PIXELFORMAT_YUY2 0x32595559u
#define SDL_TEXTUREACCESS_STREAMING 1
#define FRAMES 4

static void *library;

static void *function(const char *name)
{
	void *at = dlsym(library, name);
	if (at == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	return at;
}

static double now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	int width = atoi(argv[1]), height = atoi(argv[2]), frames = atoi(argv[3]);
	library = dlopen("libSDL2-2.0.so.0", RTLD_NOW);
	if (library == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	int (*init)(uint32_t) = function("SDL_Init");
	void *(*create_window)(const char *, int, int, int, int, uint32_t) = function("SDL_CreateWindow");
	void *(*create_renderer)(void *, int, uint32_t) = function("SDL_CreateRenderer");
	void *(*create_texture)(void *, uint32_t, int, int, int) = function("SDL_CreateTexture");
	int (*update)(void *, const void *, const void *, int) = function("SDL_UpdateTexture");
	int (*copy)(void *, void *, const void *, const void *) = function("SDL_RenderCopy");
	void (*present)(void *) = function("SDL_RenderPresent");
	int (*poll)(void *) = function("SDL_PollEvent");

	if (init(SDL_INIT_VIDEO) != 0)
		return 1;
	void *window = create_window("baseline", SDL_WINDOWPOS_CENTERED, SDL_WINDOWPOS_CENTERED, width, height, 0);
	void *renderer = create_renderer(window, -1, SDL_RENDERER_SOFTWARE);
	void *texture = create_texture(renderer, SDL_PIXELFORMAT_YUY2, SDL_TEXTUREACCESS_STREAMING, width, height);
	if (window == NULL || renderer == NULL || texture == NULL)
		return 1;
	size_t bytes = (size_t)width * height * 2;
	uint8_t *picture[FRAMES];
	for (int i = 0; i < FRAMES; i++) {
		picture[i] = malloc(bytes);
		for (size_t at = 0; at < bytes; at++)
			picture[i][at] = (uint8_t)(at * 7 + i * 50);
	}
	uint64_t event[16];
	int warm_up = frames / 10;
	double started = 0, cpu = 0;
	for (int i = 0; i < frames + warm_up; i++) {
		if (i == warm_up) {
			started = now(CLOCK_MONOTONIC);
			cpu = now(CLOCK_PROCESS_CPUTIME_ID);
		}
		while (poll(event))
			;
		if (update(texture, NULL, picture[i % FRAMES], width * 2) != 0 || copy(renderer, texture, NULL, NULL) != 0)
			return 1;
		present(renderer);
	}
	printf("{\"seconds\":%.6f,\"cpuSeconds\":%.6f}\n", now(CLOCK_MONOTONIC) - started,
	       now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	return 0;
}
