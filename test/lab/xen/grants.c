/*
 * Grants of a domain, apart from framepass:
 *   grants in-use                   how many pages xen-gntalloc has given out and not got back, of its limit
 *   grants map DOMID read|write REF maps one page of another domain; prints "mapped" or the errno's text
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* <xen/gntdev.h> names these without declaring them: xen/interface/xen.h of the kernel. */
typedef uint16_t domid_t;
typedef uint32_t grant_ref_t;
#include <xen/gntalloc.h>
#include <xen/gntdev.h>

static int opened(const char *path) {
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) perror(path), exit(1);
  return fd;
}

/* Whether so many pages can be had now; they are given back at once. */
static int can_allocate(int fd, uint32_t count) {
  struct ioctl_gntalloc_alloc_gref *request =
      calloc(1, sizeof *request + count * sizeof request->gref_ids[0]);
  request->count = count;
  int done = ioctl(fd, IOCTL_GNTALLOC_ALLOC_GREF, request) == 0;
  if (!done && errno != ENOSPC) perror("ALLOC_GREF"), exit(1);
  struct ioctl_gntalloc_dealloc_gref back = {request->index, count};
  if (done && ioctl(fd, IOCTL_GNTALLOC_DEALLOC_GREF, &back) < 0) perror("DEALLOC_GREF"), exit(1);
  free(request);
  return done;
}

static int in_use(void) {
  uint32_t limit;
  FILE *file = fopen("/sys/module/xen_gntalloc/parameters/limit", "r");
  if (!file || fscanf(file, "%u", &limit) != 1) perror("limit"), exit(1);
  int fd = opened("/dev/xen/gntalloc");
  uint32_t most = 0; /* that can be had */
  if (can_allocate(fd, limit)) most = limit;
  else
    for (uint32_t low = 0, high = limit; high - low > 1; most = low) {
      uint32_t middle = low + (high - low) / 2;
      if (can_allocate(fd, middle)) low = middle;
      else high = middle;
    }
  printf("%u\n", limit - most);
  return 0;
}

static int map(uint32_t domid, int write, uint32_t ref) {
  int fd = opened("/dev/xen/gntdev");
  struct ioctl_gntdev_map_grant_ref request = {.count = 1, .refs = {{domid, ref}}};
  if (ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, &request) < 0) perror("MAP_GRANT_REF"), exit(1);
  int protection = write ? PROT_READ | PROT_WRITE : PROT_READ;
  void *page = mmap(NULL, 4096, protection, MAP_SHARED, fd, request.index);
  puts(page == MAP_FAILED ? strerror(errno) : "mapped");
  return 0;
}

int main(int count, char **words) {
  if (count == 2 && strcmp(words[1], "in-use") == 0) return in_use();
  if (count == 5 && strcmp(words[1], "map") == 0)
    return map(atoi(words[2]), strcmp(words[3], "write") == 0, atoi(words[4]));
  fprintf(stderr, "usage: grants in-use | map DOMID read|write REF\n");
  return 2;
}
