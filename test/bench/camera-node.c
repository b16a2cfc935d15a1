// For `bun run bench camera`: a V4L2 output node for a program that is started with this library in LD_PRELOAD. The node takes
// pictures by write() as v4l2loopback does: one copy into the next of eight buffers.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFERS = 8 };
static const char path[] = "/dev/video-bench";
static int node = -1;
static char *buffers[BUFFERS];
static size_t room;
static unsigned next;

/** Debian's ffmpeg calls the checking variant of open64, other builds one of the plain ones. */
#define OPENS(NAME, LAST_PARAMETER)                                                                \
  int NAME(const char *name, int flags LAST_PARAMETER) {                                           \
    static int (*real)(const char *, int, unsigned);                                               \
    if (real == NULL) real = dlsym(RTLD_NEXT, #NAME);                                              \
    if (strcmp(name, path) == 0) return node = dup(2);                                             \
    MODE                                                                                           \
    return real(name, flags, mode);                                                                \
  }
#define MODE                                                                                       \
  va_list list;                                                                                    \
  va_start(list, flags);                                                                           \
  unsigned mode = (flags & O_CREAT) != 0 ? va_arg(list, unsigned) : 0;                             \
  va_end(list);
#define VARIADIC , ...
OPENS(open, VARIADIC)
OPENS(open64, VARIADIC)
#undef MODE
#define MODE unsigned mode = 0;
#define NONE
OPENS(__open64_2, NONE)

static int answer(unsigned long request, void *argument) {
  if (request == VIDIOC_QUERYCAP) {
    struct v4l2_capability *capability = argument;
    memset(capability, 0, sizeof *capability);
    capability->capabilities = V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_READWRITE;
    return 0;
  }
  if (request == VIDIOC_S_FMT || request == VIDIOC_G_FMT) return 0;
  errno = ENOTTY;
  return -1;
}

int ioctl(int fd, unsigned long request, ...) {
  static int (*real)(int, unsigned long, ...);
  if (real == NULL) real = dlsym(RTLD_NEXT, "ioctl");
  va_list list;
  va_start(list, request);
  void *argument = va_arg(list, void *);
  va_end(list);
  return fd == node && node >= 0 ? answer(request, argument) : real(fd, request, argument);
}

ssize_t write(int fd, const void *from, size_t length) {
  static ssize_t (*real)(int, const void *, size_t);
  if (real == NULL) real = dlsym(RTLD_NEXT, "write");
  if (fd != node || node < 0) return real(fd, from, length);
  if (room == 0) {
    room = length;
    for (int i = 0; i < BUFFERS; i++) buffers[i] = calloc(1, room);
  }
  if (length > room) length = room;
  memcpy(buffers[next++ % BUFFERS], from, length);
  return (ssize_t)length;
}
