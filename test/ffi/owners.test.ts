import { expect, test } from "bun:test";
import { EPOLLIN, Epoll, Signal, Ticker } from "../../ffi/epoll.ts";
import { errnoName, SysError } from "../../ffi/errno.ts";
import { Fd, truncate } from "../../ffi/fd.ts";
import { Mapping } from "../../ffi/mapping.ts";
import { socketPair } from "../../ffi/socket.ts";
import { leftBehind, nothing } from "../support/resources.ts";

test("owners of descriptors and mappings leave nothing behind, disposed once or twice", async () => {
  const left = await leftBehind("framepass-owner", () => {
    for (let i = 0; i < 50; i++) {
      using fd = Fd.memory("framepass-owner", 8192);
      using mapping = new Mapping(fd.number, 8192, fd.name);
      using _epoll = new Epoll();
      using _ticker = new Ticker();
      using _signal = new Signal();
      const [a, b] = socketPair();
      mapping[Symbol.dispose]();
      a[Symbol.dispose]();
      b.close();
      b[Symbol.dispose]();
    }
  });
  expect(left).toEqual(nothing);
});

test("a view of an unmapped mapping reads as empty instead of faulting", () => {
  using fd = Fd.memory("framepass-view", 4096);
  const mapping = new Mapping(fd.number, 4096, fd.name);
  const view = mapping.bytes.subarray(10, 20);
  view[0] = 7;
  expect(mapping.bytes[10]).toBe(7);
  mapping[Symbol.dispose]();
  expect([view.length, mapping.bytes.length]).toEqual([0, 0]);
  expect(view[0]).toBeUndefined();
  expect(() => mapping.address).toThrow("the mapping is gone");
});

test("use of a closed descriptor throws", () => {
  const fd = Fd.memory("framepass-closed", 4096);
  fd[Symbol.dispose]();
  expect(fd.closed).toBe(true);
  expect(() => fd.number).toThrow("framepass-closed is closed");
});

test("a memfd cannot be shrunk while others read it", () => {
  using fd = Fd.memory("framepass-sealed", 4096);
  expect(errnoName(-truncate(fd.number, 1))).toBe("EPERM");
});

test("a failed mmap is an error with its reason, an impossible length a RangeError", () => {
  using fd = Fd.memory("framepass-map", 4096);
  expect(() => new Mapping(fd.number, 4096, "x", 3, 1)).toThrow(
    "mmap x: EINVAL (invalid argument)",
  );
  for (const length of [0, -1, 2 ** 32, Number.NaN, 1.5]) {
    expect(() => new Mapping(fd.number, length, "x")).toThrow(RangeError);
  }
});

test("an error names the call, the object, the errno and the reason", () => {
  const error = new SysError("VIDIOC_S_FMT", "/dev/video0", 16);
  expect(error.message).toBe("VIDIOC_S_FMT /dev/video0: EBUSY (resource busy or locked)");
  expect([error.code, error.errno]).toEqual(["EBUSY", 16]);
  expect(errnoName(531)).toBe("errno 531");
  expect(() => Fd.open("/nowhere/at/all", 0)).toThrow(
    "open /nowhere/at/all: ENOENT (no such file or directory)",
  );
});

test("epoll reports the key and the events, and nothing about a removed descriptor", () => {
  using epoll = new Epoll();
  using signal = new Signal();
  epoll.add(signal.fd, EPOLLIN, 42);
  expect(epoll.wait(0)).toBe(0);
  signal.raise();
  expect([epoll.wait(0), epoll.key(0), epoll.events(0)]).toEqual([1, 42, EPOLLIN]);
  expect([signal.clear(), epoll.wait(0)]).toEqual([1, 0]);
  signal.raise();
  epoll.remove(signal.fd);
  expect(epoll.wait(0)).toBe(0);
});
