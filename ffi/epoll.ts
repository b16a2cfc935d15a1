// epoll, timerfd and eventfd, for the loop. <sys/epoll.h>, <sys/timerfd.h>, <sys/eventfd.h>

import { monotonicNs } from "./clock.ts";
import { errno, must, result } from "./errno.ts";
import { Fd, readAt } from "./fd.ts";
import { addressOf, libc } from "./libc.ts";
import { CLOCK_MONOTONIC, itimerspec, TFD_TIMER_ABSTIME } from "./linux/time.ts";
import { n64, struct } from "./struct.ts";

export const EPOLLIN = 0x001;
export const EPOLLPRI = 0x002;
export const EPOLLOUT = 0x004;
export const EPOLLERR = 0x008;
export const EPOLLHUP = 0x010;
export const EPOLLRDHUP = 0x2000;
export const EPOLLET = 0x8000_0000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const EPOLL_CLOEXEC = 0o2000000;
const TFD_FLAGS = 0o4000 | 0o2000000; // TFD_NONBLOCK | TFD_CLOEXEC
const EFD_FLAGS = 0o4000 | 0o2000000; // EFD_NONBLOCK | EFD_CLOEXEC
const BATCH = 32;

// struct epoll_event is packed on x86-64 only: 12 bytes there, 16 elsewhere.
const STRIDE = process.arch === "x64" ? 12 : 16;
const KEY = process.arch === "x64" ? 4 : 8;

/** An epoll instance. Each descriptor has a key, a number that the caller chooses. */
export class Epoll implements Disposable {
  readonly #fd = new Fd(
    must(result(libc.epoll_create1(EPOLL_CLOEXEC)), "epoll_create1", ""),
    "epoll",
  );
  readonly #events = new DataView(new ArrayBuffer(BATCH * STRIDE));
  readonly #eventsAt = addressOf(this.#events);
  readonly #one = new DataView(new ArrayBuffer(STRIDE));
  readonly #oneAt = addressOf(this.#one);

  /** Readable while one of its descriptors has an event. */
  get fd(): number {
    return this.#fd.number;
  }

  #control(operation: number, fd: number, events: number, key: number): void {
    this.#one.setUint32(0, events, true);
    this.#one.setUint32(KEY, key, true);
    const r = result(libc.epoll_ctl(this.#fd.number, operation, fd, this.#oneAt));
    must(r, "epoll_ctl", `fd ${fd}`);
  }

  add(fd: number, events: number, key: number): void {
    this.#control(EPOLL_CTL_ADD, fd, events, key);
  }
  modify(fd: number, events: number, key: number): void {
    this.#control(EPOLL_CTL_MOD, fd, events, key);
  }
  /** Removes a descriptor. Does nothing if it is closed: the kernel has removed it then. */
  remove(fd: number): void {
    libc.epoll_ctl(this.#fd.number, EPOLL_CTL_DEL, fd, this.#oneAt);
  }

  /** Waits up to `timeoutMs` (-1: no limit). Answers the number of events; 0 also when a signal interrupts. */
  wait(timeoutMs: number): number {
    const r = result(libc.epoll_wait(this.#fd.number, this.#eventsAt, BATCH, timeoutMs));
    if (r === -errno.EINTR) return 0;
    return must(r, "epoll_wait", "");
  }
  /** Key of the `i`th event of the last wait. */
  key(i: number): number {
    return this.#events.getUint32(i * STRIDE + KEY, true);
  }
  /** Events of the `i`th event of the last wait. */
  events(i: number): number {
    return this.#events.getUint32(i * STRIDE, true);
  }

  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }
}

const counter = struct("uint64_t", 8, { value: n64(0) });

/** A timer descriptor, readable once per interval. CLOCK_MONOTONIC. */
export class Ticker implements Disposable {
  readonly #fd = new Fd(
    must(result(libc.timerfd_create(CLOCK_MONOTONIC, TFD_FLAGS)), "timerfd_create", ""),
    "timerfd",
  );
  readonly #count = counter.alloc();
  readonly #countAt = this.#count.$address;
  readonly #spec = itimerspec.alloc();
  readonly #specAt = this.#spec.$address;

  get fd(): number {
    return this.#fd.number;
  }

  /**
   * Starts with a tick at `firstNs` of CLOCK_MONOTONIC, without it now; then one every `intervalNs`, rounded to whole
   * nanoseconds. Ticks in the past are counted at once. An interval of 0 stops the timer.
   */
  start(intervalNs: number, firstNs = monotonicNs()): void {
    const wholeNs = intervalNs > 0 ? Math.max(1, Math.round(intervalNs)) : 0;
    const spec = this.#spec;
    spec["it_interval.tv_sec"] = Math.floor(wholeNs / 1e9);
    spec["it_interval.tv_nsec"] = wholeNs % 1e9;
    spec["it_value.tv_sec"] = wholeNs === 0 ? 0 : Math.floor(firstNs / 1e9);
    spec["it_value.tv_nsec"] = wholeNs === 0 ? 0 : firstNs % 1e9;
    const r = libc.timerfd_settime(this.#fd.number, TFD_TIMER_ABSTIME, this.#specAt, 0);
    must(result(r), "timerfd_settime", "");
  }

  /** Ticks since the last call. */
  take(): number {
    return readAt(this.#fd.number, this.#countAt, 8) === 8 ? this.#count.value : 0;
  }

  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }
}

/** An eventfd: readable from `raise` to `clear`. */
export class Signal implements Disposable {
  readonly #fd: Fd;
  readonly #cell = counter.alloc();
  readonly #cellAt = this.#cell.$address;

  constructor(raised = false) {
    this.#fd = new Fd(
      must(result(libc.eventfd(raised ? 1 : 0, EFD_FLAGS)), "eventfd", ""),
      "eventfd",
    );
  }
  get fd(): number {
    return this.#fd.number;
  }
  raise(): void {
    this.#cell.value = 1;
    libc.write(this.#fd.number, this.#cellAt, 8);
  }
  /** Clears the signal. Answers how often it was raised. */
  clear(): number {
    return readAt(this.#fd.number, this.#cellAt, 8) === 8 ? this.#cell.value : 0;
  }
  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
  }
}
