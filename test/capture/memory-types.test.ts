// The choice between DMABUF and MMAP: when DMABUF is refused, everything is released and made again with MMAP.
import { expect, spyOn, test } from "bun:test";
import { errno, SysError } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { openCamera } from "../../src/capture/camera.ts";
import { log } from "../../src/cli/log.ts";
import { exitStatus, UnavailableError } from "../../src/errors.ts";
import { type Allocator, OwnBuffer } from "../../src/frame/memory.ts";
import { HEAP_MEMORY, memfdHeap, quiet, sentBytes, wish } from "../support/camera-options.ts";
import { DRIVER_MEMORY, FakeCamera, patternByte } from "../support/fake-camera.ts";
import { leftBehind, mappingsOf, nothing, openDescriptors } from "../support/resources.ts";

quiet();

const picture = (n: number) => Uint8Array.from({ length: 6144 }, (_, i) => patternByte(n, 0, i));

test.each(["dmabuf", "auto"] as const)(
  "-m %s: the driver writes into buffers of the heap",
  async (memory) => {
    const left = await leftBehind(HEAP_MEMORY, () => {
      const descriptors = openDescriptors();
      const device = new FakeCamera();
      using camera = openCamera(device, { ...wish, memory });
      expect(camera.memory).toBe("dmabuf");
      expect(device.callsOf("REQBUFS")).toEqual(["REQBUFS 4 DMABUF"]);
      expect(device.callsOf("QUERYBUF")).toEqual([]);
      expect(mappingsOf(HEAP_MEMORY)).toBe(4);
      expect(mappingsOf(DRIVER_MEMORY)).toBe(0);
      expect(openDescriptors() - descriptors).toBe(5); // four dma-bufs and the device
      camera.start();
      for (let n = 0; n < 6; n++) {
        device.produce();
        using frame = camera.next();
        if (frame === undefined) throw new Error("no frame");
        expect(sentBytes(frame)).toEqual(picture(n));
      }
    });
    expect(left).toEqual(nothing);
  },
);

const refusals = [
  {
    how: "REQBUFS refuses DMABUF",
    make: () => new FakeCamera({ memories: [v.V4L2_MEMORY_MMAP] }),
    said: /^VIDIOC_REQBUFS \/dev\/video7 \(DMABUF\): EINVAL .*; using MMAP$/,
    dmabufCalls: ["REQBUFS 4 DMABUF"],
  },
  ...[1, 2, 3, 4].map((call) => ({
    how: `QBUF refuses buffer ${call - 1}`,
    make: () => new FakeCamera().fail("QBUF", errno.EINVAL, call),
    said: /^VIDIOC_QBUF \/dev\/video7 \(DMABUF\): EINVAL .*; using MMAP$/,
    dmabufCalls: [
      "REQBUFS 4 DMABUF",
      ...["QBUF 0", "QBUF 1", "QBUF 2", "QBUF 3"].slice(0, call),
      "REQBUFS 0 DMABUF",
    ],
  })),
];

test.each(refusals)("-m auto when $how: all is released and made again with MMAP", async (row) => {
  const left = await leftBehind("memfd", () => {
    const device = row.make();
    const descriptors = openDescriptors();
    using said = spyOn(log, "info");
    using camera = openCamera(device, { ...wish, memory: "auto" });
    expect(said.mock.calls[0]?.[0]).toMatch(row.said);
    expect(camera.memory).toBe("mmap");
    // Nothing of DMABUF is left: no heap mapping, no dma-buf. The one new descriptor is the driver's memfd.
    expect(mappingsOf(HEAP_MEMORY)).toBe(0);
    expect(mappingsOf(DRIVER_MEMORY)).toBe(4);
    expect(openDescriptors() - descriptors).toBe(1);
    const setUp = device.calls.filter((call) => /^(REQBUFS|QBUF)/.test(call));
    const mmapCalls = ["REQBUFS 4 MMAP", "QBUF 0", "QBUF 1", "QBUF 2", "QBUF 3"];
    expect(setUp).toEqual([...row.dmabufCalls, ...mmapCalls]);
    camera.start();
    device.produce();
    using frame = camera.next();
    if (frame === undefined) throw new Error("no frame");
    expect(sentBytes(frame)).toEqual(picture(0));
  });
  expect(left).toEqual(nothing);
});

test.each(refusals)("-m dmabuf when $how: not available, exit status 3", async (row) => {
  const left = await leftBehind("memfd", () => {
    const device = row.make();
    let thrown: unknown;
    try {
      openCamera(device, { ...wish, memory: "dmabuf" });
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(UnavailableError);
    expect(exitStatus(thrown)).toBe(3);
    expect((thrown as Error).message).toMatch(/\(DMABUF\): EINVAL .*; use --memory mmap$/);
    expect(device.calls.some((call) => call.endsWith("MMAP"))).toBe(false);
    expect(device.disposed).toBe(true);
  });
  expect(left).toEqual(nothing);
});

test("-m mmap never touches the heap", () => {
  const openHeap = () => {
    throw new Error("the heap was opened");
  };
  using camera = openCamera(new FakeCamera(), { ...wish, memory: "mmap", openHeap });
  expect(camera.memory).toBe("mmap");
});

test("without the heap: auto takes MMAP, dmabuf is not available and names the heap", async () => {
  const missing = { ...wish, heap: "/dev/dma_heap/no such heap" };
  const { openHeap: _, ...real } = missing;
  const left = await leftBehind("memfd", () => {
    using camera = openCamera(new FakeCamera(), { ...real, memory: "auto" });
    expect(camera.memory).toBe("mmap");
    expect(() => openCamera(new FakeCamera(), { ...real, memory: "dmabuf" })).toThrow(
      "open /dev/dma_heap/no such heap: ENOENT (no such file or directory); name another --heap, or use --memory mmap",
    );
  });
  expect(left).toEqual(nothing);
});

test("a path that is not a heap fails at the first allocation", async () => {
  const { openHeap: _, ...real } = { ...wish, heap: "/dev/null" };
  const left = await leftBehind("memfd", () => {
    expect(() => openCamera(new FakeCamera(), { ...real, memory: "dmabuf" })).toThrow(
      /^DMA_HEAP_IOCTL_ALLOC \/dev\/null \(6144 bytes\): ENOTTY .*; name another --heap, or use --memory mmap$/,
    );
  });
  expect(left).toEqual(nothing);
});

test.each([1, 2, 4])("a heap that runs out at allocation %d falls back to MMAP", async (last) => {
  const left = await leftBehind("memfd", () => {
    let allocations = 0;
    let closed = 0;
    const openHeap = (path: string): Allocator => ({
      name: path,
      allocate: (length) => {
        if (++allocations === last) throw new SysError("DMA_HEAP_IOCTL_ALLOC", path, errno.ENOMEM);
        return memfdHeap(path).allocate(length);
      },
      [Symbol.dispose]: () => {
        closed += 1;
      },
    });
    using camera = openCamera(new FakeCamera(), { ...wish, memory: "auto", openHeap });
    expect(camera.memory).toBe("mmap");
    expect(mappingsOf(HEAP_MEMORY)).toBe(0);
    expect({ allocations, closed }).toEqual({ allocations: last, closed: 1 });
  });
  expect(left).toEqual(nothing);
});

test("a busy driver fails with every memory type", () => {
  const busy = () => new FakeCamera().fail("REQBUFS", errno.EBUSY);
  for (const memory of ["auto", "dmabuf", "mmap"] as const) {
    expect(() => openCamera(busy(), { ...wish, memory })).toThrow(
      /^VIDIOC_REQBUFS .*EBUSY .*; close the program that uses it$/,
    );
  }
});

test("a multi-planar buffer gets a dma-buf for each plane", async () => {
  const left = await leftBehind("memfd", () => {
    const planes = [
      { sizeimage: 64 * 48, bytesperline: 64 },
      { sizeimage: 64 * 24, bytesperline: 64 },
    ];
    const device = new FakeCamera({ multiplanar: true, planes });
    using camera = openCamera(device, { ...wish, format: "NM12", memory: "dmabuf", buffers: 3 });
    expect(mappingsOf(HEAP_MEMORY)).toBe(6);
    camera.start();
    device.produce();
    using frame = camera.next();
    if (frame === undefined) throw new Error("no frame");
    const luma = Uint8Array.from({ length: 64 * 48 }, (_, i) => patternByte(0, 0, i));
    const chroma = Uint8Array.from({ length: 64 * 24 }, (_, i) => patternByte(0, 1, i));
    expect(sentBytes(frame)).toEqual(Uint8Array.from([...luma, ...chroma]));
  });
  expect(left).toEqual(nothing);
});

/** Records the calls that bracket CPU access. */
class WatchedBuffer extends OwnBuffer {
  readonly notes: string[];
  constructor(length: number, notes: string[]) {
    super(Fd.memory(HEAP_MEMORY, length), length, false);
    this.notes = notes;
  }
  override begin(access: number): void {
    this.notes.push(`begin ${access}`);
  }
  override end(access: number): void {
    this.notes.push(`end ${access}`);
  }
}

test("a frame is read between the sync ioctls of its dma-buf, and QBUF comes after them", () => {
  const notes: string[] = [];
  const openHeap = (name: string): Allocator => ({
    name,
    allocate: (length) => new WatchedBuffer(length, notes),
    [Symbol.dispose]: () => undefined,
  });
  const device = new FakeCamera().amend(v.VIDIOC_QBUF, () => notes.push("QBUF"));
  using camera = openCamera(device, { ...wish, memory: "dmabuf", buffers: 1, openHeap });
  camera.start();
  device.produce();
  const frame = camera.next();
  expect(notes).toEqual(["QBUF", "begin 1"]);
  frame?.[Symbol.dispose]();
  expect(notes).toEqual(["QBUF", "begin 1", "end 1", "QBUF"]);
  device.produce({ flags: v.V4L2_BUF_FLAG_ERROR });
  expect(camera.next()).toBeUndefined();
  expect(notes).toEqual(["QBUF", "begin 1", "end 1", "QBUF", "QBUF"]);
});

test("a dma-buf whose sync fails is an error that names the call", () => {
  const openHeap = (name: string): Allocator => ({
    name,
    // Claims to be a dma-buf, so that the sync ioctl is really made, and answered ENOTTY.
    allocate: (length) => new OwnBuffer(Fd.memory(HEAP_MEMORY, length), length, true),
    [Symbol.dispose]: () => undefined,
  });
  const device = new FakeCamera();
  using camera = openCamera(device, { ...wish, memory: "dmabuf", openHeap });
  camera.start();
  device.produce();
  expect(() => camera.next()).toThrow("DMA_BUF_IOCTL_SYNC fake-heap: ENOTTY");
  camera.stop();
  camera.start(); // the buffer that could not be read goes to the driver again
  expect(device.queued).toBe(4);
});

class BufferThatFailsAtTheEnd extends OwnBuffer {
  override end(): void {
    throw new SysError("DMA_BUF_IOCTL_SYNC", "dma-buf", errno.EIO);
  }
}

test("a sync that fails when a frame is returned does not throw there; the next frame does", () => {
  const openHeap = (name: string): Allocator => ({
    name,
    allocate: (length) =>
      new BufferThatFailsAtTheEnd(Fd.memory(HEAP_MEMORY, length), length, false),
    [Symbol.dispose]: () => undefined,
  });
  const device = new FakeCamera();
  using camera = openCamera(device, { ...wish, memory: "dmabuf", openHeap });
  camera.start();
  device.produce();
  const frame = camera.next();
  frame?.[Symbol.dispose]();
  expect(() => camera.next()).toThrow("DMA_BUF_IOCTL_SYNC dma-buf: EIO");
});
