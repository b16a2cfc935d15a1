import { expect, spyOn, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Fd, truncate } from "../../ffi/fd.ts";
import { log } from "../../src/cli/log.ts";
import { exitStatus, UnavailableError } from "../../src/errors.ts";
import {
  heapAllocator,
  memfdAllocator,
  OwnBuffer,
  openReceiveMemory,
  READ,
  WRITE,
} from "../../src/frame/memory.ts";
import { quiet } from "../support/camera-options.ts";
import { leftBehind, mappingsOf, nothing } from "../support/resources.ts";

quiet();

const MISSING = "/dev/dma_heap/no such heap";

test("a memfd buffer is zeroed memory of its length, and unmapped when it is disposed", async () => {
  const left = await leftBehind("memfd", () => {
    const before = mappingsOf("memfd");
    const buffer = memfdAllocator.allocate(10_000);
    expect(mappingsOf("memfd") - before).toBe(1);
    const { bytes } = buffer.mapping;
    expect(bytes.length).toBe(10_000);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    bytes.fill(7);
    buffer.begin(READ);
    buffer.end(READ | WRITE);
    buffer[Symbol.dispose]();
    buffer[Symbol.dispose]();
    expect(bytes.length).toBe(0); // a stale view is empty
    expect(() => buffer.mapping.address).toThrow("the mapping is gone");
    expect(() => buffer.fd.number).toThrow("is closed");
  });
  expect(left).toEqual(nothing);
});

test("a process that receives a memfd buffer cannot shrink it under our mapping", () => {
  using buffer = memfdAllocator.allocate(8192);
  expect(truncate(buffer.fd.number, 100)).toBeLessThan(0);
  expect(truncate(buffer.fd.number, 100_000)).toBeLessThan(0);
  buffer.mapping.bytes[8191] = 1;
});

test("a buffer that cannot be mapped closes its descriptor", async () => {
  const left = await leftBehind("memfd", () => {
    expect(() => new OwnBuffer(Fd.memory("framepass", 4096), 0, false)).toThrow(RangeError);
    expect(() => memfdAllocator.allocate(2 ** 33)).toThrow(RangeError);
    expect(() => new OwnBuffer(Fd.open("/dev/null", 0), 4096, false)).toThrow(/^mmap \/dev\/null/);
  });
  expect(left).toEqual(nothing);
});

test("the sync ioctl is called for dma-bufs, and its error names it", () => {
  using buffer = new OwnBuffer(Fd.memory("framepass", 4096), 4096, true);
  expect(() => buffer.begin(READ)).toThrow("DMA_BUF_IOCTL_SYNC framepass: ENOTTY");
  expect(() => buffer.end(READ)).toThrow("DMA_BUF_IOCTL_SYNC framepass: ENOTTY");
});

test("a missing heap is an error when it was asked for, otherwise memfds, and no warning", async () => {
  const left = await leftBehind("memfd", async () => {
    using warned = spyOn(log, "warn");
    using noted = spyOn(log, "debug");
    const others = async () => undefined;
    using fallback = await openReceiveMemory({ heap: MISSING, given: new Set() }, others);
    expect(fallback.name).toBe("memfd");
    expect(warned).not.toHaveBeenCalled();
    expect(noted.mock.calls[0]?.[0]).toMatch(
      /^open .*no such heap: ENOENT .*; receiving into memfd/,
    );
    let thrown: unknown;
    try {
      await openReceiveMemory({ heap: MISSING, given: new Set(["heap"]) }, others);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(UnavailableError);
    expect(exitStatus(thrown)).toBe(3);
    expect((thrown as Error).message).toMatch(/ENOENT .*; choose an existing heap with --heap/);
  });
  expect(left).toEqual(nothing);
});

test("a device that is not a heap fails at its first allocation, and leaves nothing open", async () => {
  const left = await leftBehind("memfd", () => {
    using heap = heapAllocator("/dev/zero");
    expect(() => heap.allocate(4096)).toThrow(
      "DMA_HEAP_IOCTL_ALLOC /dev/zero (4096 bytes): ENOTTY",
    );
  });
  expect(left).toEqual(nothing);
});

test("buffers are named in the list of mappings, which the owner tests rely on", () => {
  using _buffer = memfdAllocator.allocate(4096);
  expect(readFileSync("/proc/self/maps", "utf8")).toContain("/memfd:framepass");
});
