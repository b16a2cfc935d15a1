/*
 * Runs scripts in a domain that has no share with the host: the job in dom0 is the client, the domain the server.
 *   domain-agent serve ADDRESS PORT DIRECTORY  the domain's first process: one child for each script, which starts there
 *   domain-agent run ADDRESS PORT              sends the script on stdin, prints its output, ends with its status
 * The client sends the length of the script and the script. The server answers with parts: a kind, a length, and bytes.
 * When the client's connection ends, the script and everything it started is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum kind { OUT = 1, ERR = 2, STATUS = 3 };
struct part {
  uint32_t kind;
  uint32_t length; /* STATUS: the status, without bytes */
};

enum { SCRIPT_MAX = 64 * 1024 }; /* an argument of execve may have 128 KiB */

static void fail(const char *what) {
  fprintf(stderr, "domain-agent: %s: %s\n", what, strerror(errno));
  exit(255);
}

static void send_all(int fd, const void *data, size_t size) {
  for (const char *at = data; size > 0;) {
    ssize_t sent = write(fd, at, size);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) fail("write");
    at += sent;
    size -= sent;
  }
}

/* 0 at the end of the stream. */
static int receive_all(int fd, void *data, size_t size) {
  for (char *at = data; size > 0;) {
    ssize_t got = read(fd, at, size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0;
    at += got;
    size -= got;
  }
  return 1;
}

static struct sockaddr_in address_of(const char *host, const char *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) errno = EINVAL, fail(host);
  return address;
}

/* A peer that is gone without a word is noticed after 15 s. */
static void watch_peer(int fd) {
  int on = 1, idle = 5, interval = 5, count = 2;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

/* Passes on what can be read now; 0 when the pipe has ended. */
static int pass_on(int from, int to, enum kind kind) {
  static char bytes[64 * 1024];
  ssize_t got = read(from, bytes, sizeof bytes);
  if (got <= 0) return got < 0 && errno == EAGAIN;
  struct part part = {kind, got};
  send_all(to, &part, sizeof part);
  send_all(to, bytes, got);
  return 1;
}

static void run_script(int client) {
  static char script[SCRIPT_MAX + 1];
  uint32_t length;
  if (!receive_all(client, &length, sizeof length) || length > SCRIPT_MAX) return;
  if (!receive_all(client, script, length)) return;
  watch_peer(client);
  signal(SIGCHLD, SIG_DFL);
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0) fail("pipe2");
  pid_t shell = fork();
  if (shell < 0) fail("fork");
  if (shell == 0) {
    setsid();
    dup2(open("/dev/null", O_RDONLY), 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    execl("/bin/sh", "sh", "-c", script, NULL);
    fail("/bin/sh");
  }
  close(out[1]);
  close(err[1]);
  fcntl(out[0], F_SETFL, O_NONBLOCK);
  fcntl(err[0], F_SETFL, O_NONBLOCK);
  int ended = syscall(SYS_pidfd_open, shell, 0);
  if (ended < 0) fail("pidfd_open");
  struct pollfd on[] = {
      {ended, POLLIN, 0}, {client, POLLIN, 0}, {out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  for (;;) {
    if (poll(on, 4, -1) < 0 && errno != EINTR) fail("poll");
    if (on[1].revents) { /* the client sends nothing more: it is gone */
      kill(-shell, SIGKILL);
      return;
    }
    for (int i = 2; i < 4; i++)
      if (on[i].revents && !pass_on(on[i].fd, client, i == 2 ? OUT : ERR)) on[i].fd = -1;
    if (on[0].revents) break;
  }
  int status;
  waitpid(shell, &status, 0);
  /* What it wrote last. A process that it left behind may keep the pipes open. */
  for (int i = 2; i < 4; i++)
    while (on[i].fd >= 0 && poll(&on[i], 1, 0) == 1)
      if (!pass_on(on[i].fd, client, i == 2 ? OUT : ERR)) break;
  uint32_t code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  struct part part = {STATUS, code};
  send_all(client, &part, sizeof part);
}

static void serve(const char *host, const char *port, const char *directory) {
  if (chdir(directory) < 0) fail(directory);
  signal(SIGCHLD, SIG_IGN); /* orphans end without a wait */
  signal(SIGPIPE, SIG_IGN);
  int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = address_of(host, port);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) fail("bind");
  if (listen(listener, 64) < 0) fail("listen");
  for (;;) {
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) continue;
    if (fork() == 0) {
      signal(SIGPIPE, SIG_DFL);
      run_script(client);
      exit(0);
    }
    close(client);
  }
}

static int run(const char *host, const char *port) {
  static char script[SCRIPT_MAX];
  size_t size = fread(script, 1, sizeof script, stdin);
  if (size == sizeof script) errno = E2BIG, fail("the script");
  int server = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = address_of(host, port);
  if (connect(server, (struct sockaddr *)&address, sizeof address) < 0) fail(host);
  watch_peer(server);
  uint32_t length = size;
  send_all(server, &length, sizeof length);
  send_all(server, script, size);
  static char bytes[64 * 1024];
  struct part part;
  while (receive_all(server, &part, sizeof part)) {
    if (part.kind == STATUS) return part.length;
    if (part.length > sizeof bytes || !receive_all(server, bytes, part.length)) break;
    send_all(part.kind == OUT ? 1 : 2, bytes, part.length);
  }
  fprintf(stderr, "domain-agent: %s has closed the connection\n", host);
  return 255;
}

int main(int count, char **words) {
  if (count == 5 && strcmp(words[1], "serve") == 0) serve(words[2], words[3], words[4]);
  if (count == 4 && strcmp(words[1], "run") == 0) return run(words[2], words[3]);
  fprintf(stderr, "usage: domain-agent serve ADDRESS PORT DIRECTORY | run ADDRESS PORT\n");
  return 2;
}
