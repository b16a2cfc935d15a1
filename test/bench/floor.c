// The calls of `bun run bench idle steady` in C: a sender that wakes up for each frame, sends 48 bytes, and takes an acknowledgement
// of 24; and its receiver. usage: floor FPS SECONDS; prints the load of both in per cent of a core.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FRAME = 48, ACK = 24 };

static void watch(int epoll, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) exit(1);
}

static double seconds(int who) {
  struct rusage use;
  getrusage(who, &use);
  return use.ru_utime.tv_sec + use.ru_stime.tv_sec +
         (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
  int fps = argc > 1 ? atoi(argv[1]) : 60, length = argc > 2 ? atoi(argv[2]) : 10;
  int frames = fps * length, pair[2];
  char bytes[4096] = {0};
  struct epoll_event events[32];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 1;
  pid_t receiver = fork();
  int epoll = epoll_create1(0);
  if (receiver == 0) {
    watch(epoll, pair[1]);
    for (int received = 0; received < frames * FRAME;) {
      epoll_wait(epoll, events, 32, 100);
      ssize_t count = recv(pair[1], bytes, sizeof bytes, MSG_DONTWAIT);
      if (count == 0) return 1;
      if (count < 0) continue;
      received += count;
      send(pair[1], bytes, count / FRAME * ACK, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    return 0;
  }
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct itimerspec period = {.it_interval.tv_nsec = 1000000000 / fps, .it_value.tv_nsec = 1};
  if (timerfd_settime(timer, 0, &period, NULL) != 0) return 1;
  watch(epoll, timer);
  watch(epoll, pair[0]);
  for (int returned = 0, sent = 0; returned < frames;) {
    int count = epoll_wait(epoll, events, 32, 100);
    for (int i = 0; i < count; i++) {
      uint64_t due;
      if (events[i].data.fd == pair[0]) {
        ssize_t count = recv(pair[0], bytes, sizeof bytes, MSG_DONTWAIT);
        if (count > 0) returned += count / ACK;
      } else if (read(timer, &due, sizeof due) == sizeof due && sent < frames) {
        send(pair[0], bytes, FRAME, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent++;
      }
    }
  }
  waitpid(receiver, NULL, 0);
  printf("%.3f %.3f\n", 100 * seconds(RUSAGE_SELF) / length, 100 * seconds(RUSAGE_CHILDREN) / length);
  return 0;
}
